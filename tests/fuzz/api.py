"""schemathesis against the running service, from a description of the endpoints that exist now."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.contract.error_codes import PAGE, on_page
from tests.fuzz.environments import python_with
from tests.support.stack import TEXT, public_ids, service

FAULTS_OF_OURS: Final = {"500"}
_CASES = re.compile(r"(\d+) generated, (?:(\d+) found|.*)")


def description() -> dict[str, Any]:
    """Return the endpoints in OpenAPI's terms; every documented error may come, a fault may not."""
    statuses = {status for _, status in on_page(PAGE.read_text()) if status.isdigit()}
    errors = {status: _error() for status in sorted(statuses - FAULTS_OF_OURS)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "1API Club", "version": "1"},
        "paths": {
            "/models": {"get": {"responses": {"200": _json(_LIST), **errors}}},
            "/models/{model}": {
                "get": {
                    "parameters": [_parameter("model", "path", {"type": "string", "minLength": 1})],
                    "responses": {"200": _json(_MODEL), **errors},
                }
            },
            "/chat/completions": {
                "post": {
                    "security": [{"key": []}],
                    "parameters": [
                        _parameter("x-delivery-lane", "header", {"enum": list(_LANES)}),
                        _parameter("x-max-cost", "header", {"type": "string", "pattern": _AMOUNT}),
                    ],
                    "requestBody": {"required": True, "content": {"application/json": _CHAT}},
                    "responses": {"200": {"description": "The answer."}, **errors},
                }
            },
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


_LANES: Final = ("default", "economy", "coding", "priority", "opportunistic")
_AMOUNT: Final = r"^[0-9]{1,3}\.[0-9]{1,9}$"
_TEXT: Final = {"type": "string"}
_MODEL: Final = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": _TEXT, "object": {"const": "model"}, "created": {"type": "integer"}},
}
_LIST: Final = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_CHAT: Final = {
    "schema": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"anyOf": [{"enum": [public_ids()[TEXT]]}, _TEXT]},
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {"role": _TEXT, "content": {"type": ["string", "null"]}},
                },
            },
            "max_tokens": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
            "n": {"type": "integer", "minimum": 1, "maximum": 128},
            "stream": {"type": "boolean"},
            "temperature": {"type": "number"},
            "service_tier": {"enum": ["auto", "default", "flex", "priority"]},
            "tools": {"type": "array", "items": {"type": "object"}},
        },
    }
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": ".", "content": {"application/json": {"schema": schema}}}


def _error() -> dict[str, Any]:
    fields = {"message": _TEXT, "type": _TEXT, "param": {}, "code": {"type": ["string", "null"]}}
    envelope = {"type": "object", "required": list(fields), "properties": fields}
    return _json({"type": "object", "required": ["error"], "properties": {"error": envelope}})


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def run(seconds: int) -> int:
    """Let schemathesis try the service for about so long; its exit code."""
    python = python_with("schemathesis")
    with service() as stack, tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(description()))
        command = [str(python), "-m", "schemathesis.cli", "run", str(document)]
        command += ["--url", stack.base_url, "--header", f"Authorization: Bearer {stack.api_key}"]
        # A key of ours is sent with every request, so its absence cannot be tried here; positive
        # data may name a model that there is not.
        left_out = "ignored_auth,positive_data_acceptance,negative_data_rejection"
        command += ["--checks", "all", "--exclude-checks", left_out, "--no-color"]
        command += ["--max-examples", str(max(50, seconds * 5)), "--continue-on-failure"]
        return subprocess.run(command, cwd=folder, check=False).returncode

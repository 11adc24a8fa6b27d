"""OpenAI's own types as a check of what we send: its Python SDK's, and its published description.

The description lies beside the repository as data of others; a clone without it checks with the
SDK's types alone, and says so in one line.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any, Final

import jsonschema_rs
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.support.recordings import PROJECT

DESCRIPTION: Final = PROJECT.parent / "shared" / "specs" / "openai-openapi.json"
_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)


def check_response(body: dict[str, Any]) -> Response:
    """Return a response as the SDK has it; raises where it is none for the SDK or by its schema."""
    check("Response", _plain(body))
    return Response.model_validate(body, strict=True)


def check_event(event: dict[str, Any]) -> None:
    """Check an event of a stream of responses; raises where it is none."""
    checked = _EVENT.validate_python(event)
    assert checked.type == event["type"]
    if "response" in event:
        event = {**event, "response": _plain(event["response"])}
    check("ResponseStreamEvent", event)


def check(schema: str, value: Any) -> None:
    """Check a value against a schema of the description, where that is there."""
    if _components() is not None:
        _validator(schema).validate(value)


def _plain(response: dict[str, Any]) -> dict[str, Any]:
    """Leave out a null `usage`: OpenAI sends it (recorded), its description has an object only."""
    return {name: value for name, value in response.items() if (name, value) != ("usage", None)}


@cache
def _components() -> dict[str, Any] | None:
    if not DESCRIPTION.is_file():
        sys.stderr.write(f"no description of OpenAI's API: {DESCRIPTION.name} is absent\n")
        return None
    components: dict[str, Any] = _with_nulls(json.loads(DESCRIPTION.read_bytes())["components"])
    return components


def _with_nulls(node: Any) -> Any:
    """Say `nullable`, which some parts of the description still use, as JSON Schema does."""
    if isinstance(node, list):
        return [_with_nulls(one) for one in node]
    if not isinstance(node, dict):
        return node
    known = {name: _with_nulls(one) for name, one in node.items()}
    if known.get("nullable") is not True:
        return known
    return {"anyOf": [known, {"type": "null"}]}


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    reference = {"$ref": f"#/components/schemas/{schema}", "components": _components()}
    return jsonschema_rs.Draft202012Validator(reference)

"""The running service with its demo provider, and its own description with models to name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema_rs

from edge.admission.catalog import ENDPOINT_KINDS, Kind
from edge.pages.operations import OPERATIONS
from edge.translate.operation import Operation
from tests.support.up import Up

MODELS: Final[dict[int, tuple[str, ...]]] = {
    Kind.KIND_TEXT: ("demo", "demo-anthropic", "demo-google"),
    Kind.KIND_EMBEDDING: ("demo-embedding",),
    Kind.KIND_MODERATION: ("demo-moderation",),
    Kind.KIND_IMAGE: ("demo-image",),
    Kind.KIND_SPEECH: ("demo-speech",),
    Kind.KIND_TRANSCRIPTION: ("demo-transcription",),
}


def models_of(operation: Operation) -> tuple[str, ...]:
    """Return the demo models that an operation takes."""
    return MODELS[ENDPOINT_KINDS[operation.endpoint]]


@dataclass
class Described:
    """A running service."""

    origin: str
    api_key: str
    document: dict[str, Any]

    def with_models(self) -> dict[str, Any]:
        """Return the description narrowed to what this service can serve and pay for."""
        found = copy.deepcopy(self.document)
        for operation in OPERATIONS:
            named = {"enum": list(models_of(operation))}
            post = found["paths"][operation.path]["post"]
            for parameter in post["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = named
            # Most amounts are more than the example workspace has: one operation says so enough.
            if operation is not OPERATIONS[0]:
                post["parameters"] = [
                    one for one in post["parameters"] if one["name"] != "x-max-cost"
                ]
            for content in post["requestBody"]["content"].values():
                schema = self._named(found, content["schema"]["$ref"])
                if "model" in schema.get("properties", {}):
                    schema["properties"]["model"] = named
                    schema["required"] = sorted({"model", *schema.get("required", ())})
        return found

    def faults_of(self, operation: Operation, answer: httpx.Response) -> list[str]:
        """Return what about an answer is not as it is described."""
        responses = self.document["paths"][operation.path]["post"]["responses"]
        status = str(answer.status_code)
        described = responses.get(status) or responses.get(f"{status[0]}XX")
        if described is None:
            return [f"status {status} is not described"]
        if "$ref" in described:
            described = self._named(self.document, described["$ref"])
        kind = answer.headers["content-type"].partition(";")[0]
        if kind not in described["content"]:
            return [f"{status} has the type {kind}"]
        schema = described["content"][kind].get("schema", {})
        if kind != "application/json" or not schema:
            return []
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole)
        return [f"{status}: {one.message}" for one in validator.iter_errors(answer.json())]

    @staticmethod
    def _named(document: dict[str, Any], reference: str) -> Any:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        return place


@contextmanager
def described(folder: Path) -> Iterator[Described]:
    """Run the service in a folder."""
    up = Up(folder / "data")
    try:
        ready = up.ready()
        origin = ready["base_url"].removesuffix("/v1")
        document = httpx.get(f"{origin}/openapi.json", trust_env=False).json()
        yield Described(origin, ready["api_key"], document)
    finally:
        up.stop()

"""What the API reference and /openapi.json tell of an endpoint, beside what all endpoints share.

Each client API's package has its own in `schema.py`, as JSON Schema of 2020-12: the fields that we
check or use, with the types and bounds that the parser enforces. Every other field is allowed: it
passes to the provider, or is refused by name where it cannot cross over. The tests hold schema and
parser against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edge.translate.media_urls import PATTERN

Schema = dict[str, Any]
Api = Literal["openai", "anthropic", "google"]
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
FORM: Final = "multipart/form-data"
SCHEMAS: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One path and what can be asked there. Texts are for people; back quotes mark code."""

    path: str
    """Where SDKs expect it; `{model}` stands for a model's name."""
    endpoint: int
    """The `common.v1.Endpoint`."""
    api: Api
    """Whose conventions: the shape of errors follows from it."""
    name: str
    """A verb and a noun in camel case, for generated clients."""
    title: str
    summary: str
    requests: dict[str, Schema]
    """The bodies that it takes, by media type."""
    answers: dict[str, Schema]
    """The bodies of a 200, by media type; of a stream the data of one event."""
    path_parameters: dict[str, Schema] = field(default_factory=dict)
    query_parameters: dict[str, Schema] = field(default_factory=dict)
    shared: dict[str, Schema] = field(default_factory=dict)
    """Schemas that the others refer to by `reference`."""


def object_of(
    properties: dict[str, Schema], *, required: tuple[str, ...] = (), **more: Any
) -> Schema:
    """Return the schema of an object that may have other fields too."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": True}
    return schema | ({"required": list(required)} if required else {}) | more


def list_of(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def told(schema: Schema, description: str) -> Schema:
    """Return a schema with words for people."""
    return {**schema, "description": description}


def integer(minimum: int, maximum: int | None = None) -> Schema:
    """Return the schema of an integer within bounds."""
    bounds = {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})
    return {"type": "integer", **bounds}


def reference(name: str) -> Schema:
    """Return a reference to a shared schema."""
    return {"$ref": f"{SCHEMAS}{name}"}


def optional(schema: Schema) -> Schema:
    """Return a schema that null fulfils as well."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


NOTHING: Final[Schema] = {"enum": [None, False, 0, "", [], {}]}
"""What says nothing: a field that may not be used may be there with this."""
TEXT: Final[Schema] = {"type": "string"}
MEDIA_URL: Final[Schema] = {
    "pattern": PATTERN,
    "description": "A data URL, or an address that anyone on the web can read.",
}
BOOLEAN: Final[Schema] = {"type": "boolean"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
COST: Final[Schema] = {
    "type": "string",
    "pattern": r"^[0-9]+\.[0-9]{2,9}$",
    "description": "What the request costs so far, in US dollars; the last one is final.",
}

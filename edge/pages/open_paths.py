"""The paths of /openapi.json that need no key: lists of models, health."""

from __future__ import annotations

from typing import Any, Final

from edge.pages.headers import ANSWER_HEADERS, KEY_HEADERS
from edge.translate.operation import (
    COUNT,
    JSON,
    TEXT,
    Schema,
    list_of,
    object_of,
    optional,
    reference,
    told,
)

STATUSES: Final = ("400", "404", "405", "408", "414", "431", "500", "503")
"""Of the errors that these paths can have."""
MODEL: Final = object_of(
    {
        "id": told(TEXT, "The public model id."),
        "object": {"const": "model"},
        "created": told(COUNT, "When the catalogue got it, in seconds since 1970."),
        "owned_by": told(TEXT, "Who made it."),
        "kind": {"enum": ["text", "embedding", "moderation", "image", "speech", "transcription"]},
        "context_length": COUNT,
        "max_completion_tokens": COUNT,
        "capabilities": list_of(TEXT),
        "data_policies": list_of({"enum": ["unknown", "trains", "retains", "zero_retention"]}),
    },
    required=("id", "object", "created", "owned_by", "kind", "data_policies"),
)
GOOGLE_MODEL: Final = object_of(
    {
        "name": told(TEXT, "`models/` and the public model id."),
        "displayName": TEXT,
        "inputTokenLimit": COUNT,
        "outputTokenLimit": COUNT,
        "supportedGenerationMethods": list_of(TEXT),
    },
    required=("name", "supportedGenerationMethods"),
)
ANTHROPIC_MODEL: Final = object_of(
    {
        "type": {"const": "model"},
        "id": told(TEXT, "The public model id."),
        "display_name": TEXT,
        "created_at": {"type": "string", "format": "date-time"},
        "lifecycle": {"const": "active"},
        "max_input_tokens": COUNT,
        "max_tokens": told(COUNT, "The most output tokens."),
    },
    required=("type", "id", "display_name", "created_at"),
)
SCHEMAS: Final[dict[str, Schema]] = {
    "Model": MODEL,
    "ModelList": object_of(
        {"object": {"const": "list"}, "data": list_of(reference("Model"))},
        required=("object", "data"),
    ),
    "AnthropicModel": ANTHROPIC_MODEL,
    "AnthropicModelList": object_of(
        {
            "data": told(list_of(reference("AnthropicModel")), "Models for text, on one page."),
            "has_more": {"const": False},
            "first_id": optional(TEXT),
            "last_id": optional(TEXT),
        },
        required=("data", "has_more", "first_id", "last_id"),
    ),
    "GoogleModel": GOOGLE_MODEL,
    "GoogleModelList": object_of(
        {"models": list_of(reference("GoogleModel"))}, required=("models",)
    ),
}
MODEL_PARAMETER: Final = {"name": "model", "in": "path", "required": True, "schema": TEXT}
_IN_OTHERS: Final = (
    "With Google's header for keys (`x-goog-api-key`) in Google's shape, with Anthropic's for its "
    "version (`anthropic-version`) in Anthropic's."
)
_ERRORS: Final = ("Openai", "Anthropic", "Google")
_SHAPES: Final = ("", "Anthropic", "Google")


def paths() -> dict[str, Any]:
    """Return these paths."""
    listed = "Models that can be used; with a key that requires zero retention, by that key."
    one = "One model, by public id or alias."
    either = {"anyOf": [reference(f"{api}ModelList") for api in _SHAPES]}
    either_one = {"anyOf": [reference(f"{api}Model") for api in _SHAPES]}
    return {
        "/v1/models": {"get": _get("listModels", f"{listed} {_IN_OTHERS}", either)},
        "/v1/models/{model}": {
            "get": _get("getModel", f"{one} {_IN_OTHERS}", either_one)
            | {"parameters": [MODEL_PARAMETER]}
        },
        "/v1beta/models": {"get": _get("listGoogleModels", listed, reference("GoogleModelList"))},
        "/v1beta/models/{model}": {
            "get": _get("getGoogleModel", one, reference("GoogleModel"))
            | {"parameters": [MODEL_PARAMETER]}
        },
        "/healthz": {"get": _probe("health", {"200": "The process lives."})},
        "/readyz": {
            "get": _probe("readiness", {"200": "It serves.", "503": "It does not serve now."})
        },
    }


def _get(name: str, words: str, schema: Schema) -> dict[str, Any]:
    envelope = {"anyOf": [reference(f"{api}Error") for api in _ERRORS]}
    error = {"description": "See the table of errors.", "content": {JSON: {"schema": envelope}}}
    answer = {
        "description": "The answer.",
        "headers": {row.name: {"schema": row.schema} for row in ANSWER_HEADERS[:1]},
        "content": {JSON: {"schema": schema}},
    }
    return {
        "operationId": name,
        "tags": ["models"],
        "summary": words,
        "security": [{}, *({row.name: []} for row in KEY_HEADERS)],
        "responses": {"200": answer, **dict.fromkeys(STATUSES, error)},
    }


def _probe(name: str, statuses: dict[str, str]) -> dict[str, Any]:
    text = {"text/plain": {"schema": TEXT}}
    responses = {
        status: {"description": words, "content": text} for status, words in statuses.items()
    }
    return {"operationId": name, "tags": ["health"], "security": [], "responses": responses}

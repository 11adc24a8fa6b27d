"""The public catalogue in Google's shape, for clients that speak Google's API.

Its newest SDKs ask below `/v1`, where OpenAI's list stands: what tells them apart are the headers
that only they send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from edge.admission.catalog import LANE_NAMES, Catalog, Kind, Model
from edge.api.http import Headers
from oneapi.common.v1.endpoint_pb2 import Endpoint

PREFIX: Final = "/v1beta"
GENERATE_METHODS: Final = ("generateContent", "streamGenerateContent")
_OWN_HEADERS: Final = frozenset({b"x-goog-api-key", b"x-goog-api-client"})
_COUNTING: Final = frozenset({Endpoint.ENDPOINT_COUNT_TOKENS, Endpoint.ENDPOINT_GENERATE_CONTENT})


def is_googles(path: str, headers: Headers) -> bool:
    """Say whether a request for models is from a client of Google's API."""
    if path.startswith(PREFIX):
        return True
    return any(name in _OWN_HEADERS for name, _ in headers)


def listing(catalog: Catalog, models: Iterable[Model]) -> bytes:
    """Return the models that this API can ask, on one page (ListModels)."""
    shapes = [shape(catalog, model) for model in models if model.kind == Kind.KIND_TEXT]
    return orjson.dumps({"models": shapes})


def shape(catalog: Catalog, model: Model) -> dict[str, Any]:
    """Return one model (Gemini API reference, Model)."""
    return {
        "name": f"models/{model.public_id}",
        "version": "001",
        "displayName": model.public_id,
        "inputTokenLimit": model.context_tokens,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": _methods(catalog, model),
    }


def _methods(catalog: Catalog, model: Model) -> list[str]:
    if model.kind != Kind.KIND_TEXT:
        return []
    routes = (catalog.route(model, lane) for lane in LANE_NAMES.values())
    counts = any(one.surfaces >= _COUNTING for route in routes if route for one in route.candidates)
    return [*GENERATE_METHODS, "countTokens"] if counts else [*GENERATE_METHODS]

"""The public catalogue in Anthropic's shape, for clients that speak Anthropic's API.

They ask at the same path as OpenAI's; what tells them apart is the version that only they send.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from edge.admission.catalog import Catalog, Kind, Model
from edge.api.http import Headers

_VERSION: Final = b"anthropic-version"


def is_anthropics(headers: Headers) -> bool:
    """Say whether a request for models is from a client of Anthropic's API."""
    return any(name == _VERSION for name, _ in headers)


def listing(catalog: Catalog, models: Iterable[Model]) -> bytes:
    """Return the models that this API can ask, on one page (Models API, list)."""
    shapes = [shape(catalog, model) for model in models if model.kind == Kind.KIND_TEXT]
    page = {
        "data": shapes,
        "has_more": False,
        "first_id": shapes[0]["id"] if shapes else None,
        "last_id": shapes[-1]["id"] if shapes else None,
    }
    return orjson.dumps(page)


def shape(_catalog: Catalog, model: Model) -> dict[str, Any]:
    """Return one model (Models API, ModelInfo)."""
    created = datetime.fromtimestamp(model.created_at_seconds, UTC)
    return {
        "type": "model",
        "id": model.public_id,
        "display_name": model.display_name or model.public_id,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }

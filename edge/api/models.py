"""GET /v1/models and /v1/models/{id}: the public catalogue in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from edge.admission.catalog import Catalog, Model
from edge.core_link import CoreLink
from edge.errors import ApiError
from kit.clock import Clock, now_micros
from kit.ids import format_id, new_request_id


class Models:
    """Answers anyone: which models exist is no secret (P6)."""

    def __init__(self, link: CoreLink, clock: Clock) -> None:
        """Read the catalogue that the link has now."""
        self._link = link
        self._clock = clock
        self._listed: tuple[Catalog, int, bytes] | None = None

    async def list(self, _request: Request) -> Response:
        """Answer all models that can be served."""
        return Response(self._list(), 200, _headers(), "application/json")

    def _list(self) -> bytes:
        """Return the list, made once for each catalogue and second.

        Anyone may ask, as often as they like: so it costs no work, and the same bytes wait for all
        who do not read them.
        """
        catalog, now = self._link.catalog, now_micros(self._clock)
        second = now // 1_000_000
        listed = self._listed
        if listed is None or listed[0] is not catalog or listed[1] != second:
            models = [_shape(model) for model in catalog.servable(now)]
            body = orjson.dumps({"object": "list", "data": models})
            listed = self._listed = (catalog, second, body)
        return listed[2]

    async def get(self, request: Request) -> Response:
        """Answer one model, by public id or alias."""
        # Clients encode the slash of an id such as `maker/model`; the path keeps it encoded.
        model = self._link.catalog.named(request.path_params["model"].replace("%2F", "/"))
        if model is None:
            error = ApiError(404, "model_not_found", "The model does not exist.", param="model")
            return Response(error.body(), 404, _headers(), "application/json")
        return _answer(_shape(model))


def _shape(model: Model) -> dict[str, Any]:
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created_at_seconds,
        "owned_by": model.maker,
        "context_length": model.context_tokens,
        "max_completion_tokens": model.max_output_tokens,
        "capabilities": list(model.capabilities),
    }


def _answer(value: object) -> Response:
    return Response(orjson.dumps(value), 200, _headers(), "application/json")


def _headers() -> dict[str, str]:
    return {"x-request-id": format_id("req", new_request_id())}

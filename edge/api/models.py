"""GET /v1/models and /v1/models/{id}: the public catalogue in the shape of the client's API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from edge.admission.admit import Admission
from edge.admission.catalog import Catalog, Kind, Model
from edge.api import anthropic_models, google_models
from edge.api.http import api_key_of, sent_of
from edge.core_link import CoreLink
from edge.errors import ApiError
from edge.translate.generate.errors import envelope
from edge.translate.messages.errors import error_body
from kit.clock import Clock, now_micros
from kit.ids import format_id, new_request_id
from oneapi.common.v1.data_policy_pb2 import DataPolicy

_TOLD: Final = frozenset({400, 503})
"""What is wrong with the request itself, or cannot be known now."""


@dataclass(frozen=True, slots=True)
class View:
    """How one API shows models, and errors."""

    name: str
    listing: Callable[[Catalog, Iterable[Model]], bytes]
    shape: Callable[[Catalog, Model], dict[str, Any]]
    refusal: Callable[[ApiError, str], bytes]


class Models:
    """Answers anyone: which models exist is no secret (P6).

    Who sends a key that requires zero retention sees only the models that it can use.
    """

    def __init__(self, link: CoreLink, admission: Admission, clock: Clock) -> None:
        """Read the catalogue that the link has now."""
        self._link = link
        self._admission = admission
        self._clock = clock
        self._listed: dict[tuple[bool, str], tuple[Catalog, int, bytes]] = {}

    async def list(self, request: Request) -> Response:
        """Answer all models that can be served, to this key if there is one."""
        try:
            zero_retention = await self._requires_zero_retention(request)
        except ApiError as error:
            return _refused(request, error)
        body = self._list(_view_of(request), zero_retention=zero_retention)
        return Response(body, 200, _headers(), "application/json")

    async def get(self, request: Request) -> Response:
        """Answer one model, by public id or alias."""
        # Clients encode the slash of an id such as `maker/model`; the path keeps it encoded.
        catalog = self._link.catalog
        name = request.path_params["model"].replace("%2F", "/")
        model = catalog.named(name)
        try:
            zero_retention = await self._requires_zero_retention(request)
        except ApiError as error:
            return _refused(request, error)
        if model is not None and zero_retention:
            fitting = catalog.servable(now_micros(self._clock), zero_retention=True)
            model = model if model in fitting else None
        if model is None:
            message = "The model does not exist."
            return _refused(request, ApiError(404, "model_not_found", message, param="model"))
        body = orjson.dumps(_view_of(request).shape(catalog, model))
        return Response(body, 200, _headers(), "application/json")

    async def _requires_zero_retention(self, request: Request) -> bool:
        """Say whether the request has a key that takes only upstreams that keep nothing.

        Whoever sends no key, or one that does not work, is answered as anyone is.

        Raises:
            ApiError: 400: the request is wrong, such as a key in its URL; 503: what the key
                requires cannot be known now.
        """
        try:
            sent = sent_of(request.scope["headers"])
            key = api_key_of(sent, request.scope["query_string"])
            peer = request.client.host if request.client else None
            return (await self._admission.authenticate(key, peer)).requires_zero_retention
        except ApiError as error:
            if error.status in _TOLD:
                raise
            return False

    def _list(self, view: View, *, zero_retention: bool) -> bytes:
        """Return the list, made once for each catalogue and second.

        Anyone may ask, as often as they like: so it costs no work, and the same bytes wait for all
        who do not read them.
        """
        catalog, now = self._link.catalog, now_micros(self._clock)
        second = now // 1_000_000
        listed = self._listed.get((zero_retention, view.name))
        if listed is None or listed[0] is not catalog or listed[1] != second:
            models = catalog.servable(now, zero_retention=zero_retention)
            body = view.listing(catalog, models)
            listed = self._listed[zero_retention, view.name] = (catalog, second, body)
        return listed[2]


def _listing(catalog: Catalog, models: Iterable[Model]) -> bytes:
    shapes = [_shape(catalog, model) for model in models]
    return orjson.dumps({"object": "list", "data": shapes})


def _shape(catalog: Catalog, model: Model) -> dict[str, Any]:
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created_at_seconds,
        "owned_by": model.maker,
        "kind": Kind.Name(Kind.ValueType(model.kind)).removeprefix("KIND_").lower(),
        "context_length": model.context_tokens,
        "max_completion_tokens": model.max_output_tokens,
        "capabilities": list(model.capabilities),
        "data_policies": [policy_name(policy) for policy in catalog.data_policies(model)],
    }


def policy_name(policy: int) -> str:
    """Return a data policy as clients read it; one that nobody stated is `unknown`."""
    if policy not in DataPolicy.values() or not policy:
        return "unknown"
    name = DataPolicy.Name(DataPolicy.ValueType(policy))
    return name.removeprefix("DATA_POLICY_").lower()


def _refused(request: Request, error: ApiError) -> Response:
    headers = _headers()
    body = _view_of(request).refusal(error, headers["x-request-id"])
    headers |= {name.decode(): value.decode() for name, value in error.headers.items()}
    return Response(body, error.status, headers, "application/json")


def _headers() -> dict[str, str]:
    # Any page may read what anyone may read; which pages may use a key is its workspace's choice.
    any_page = {"access-control-allow-origin": "*", "access-control-expose-headers": "x-request-id"}
    return {"x-request-id": format_id("req", new_request_id()), **any_page}


OPENAI: Final = View("openai", _listing, _shape, lambda error, _: error.body())
_GOOGLE: Final = View("google", google_models.listing, google_models.shape, envelope)
_ANTHROPIC: Final = View("anthropic", anthropic_models.listing, anthropic_models.shape, error_body)


def _view_of(request: Request) -> View:
    """Return how the client's API shows models: its path or its headers tell which one it is."""
    headers = request.scope["headers"]
    if google_models.is_googles(request.scope.get("path", ""), headers):
        return _GOOGLE
    return _ANTHROPIC if anthropic_models.is_anthropics(headers) else OPENAI

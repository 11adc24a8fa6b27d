"""Health, readiness, metrics, and answers for paths that do not exist."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edge.api import headers as answer_headers
from edge.api.google_models import is_googles
from edge.api.http import JSON, Receive, Scope, Send, answer
from edge.api.not_offered import is_not_offered
from edge.errors import ApiError, endpoint_not_available, internal, unavailable
from edge.translate.generate.errors import envelope
from edge.translate.surface import Surface
from kit.ids import format_id, new_request_id
from kit.telemetry import CONTENT_TYPE


class Metrics(Protocol):
    """What renders the metrics of this worker."""

    def render(self) -> bytes:
        """Return them in the Prometheus text format."""


class Gate:
    """Refuses requests with 503 until the worker can record them."""

    def __init__(self, surface: Surface) -> None:
        """Start closed; refusals are in the surface's shape."""
        self._app: ASGIApp = self._refuse
        self._surface = surface

    def open(self, app: ASGIApp) -> None:
        """Let requests through to the endpoint."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, or refuse it."""
        return self._app(scope, receive, send)

    async def _refuse(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        error, request_id = unavailable("starting", "This server is starting."), new_request_id()
        body = self._surface.error_body(error, format_id("req", request_id))
        headers = [*answer_headers.of_request(request_id), JSON, *error.headers.items()]
        await answer(send, error.status, body, headers)


class Status:
    """What probes and operators ask."""

    def __init__(self, is_ready: Callable[[], bool], metrics: Metrics) -> None:
        """Ask the worker."""
        self._is_ready = is_ready
        self._metrics = metrics

    async def health(self, _request: Request) -> Response:
        """Answer that the process lives."""
        return Response("ok\n", media_type="text/plain")

    async def ready(self, _request: Request) -> Response:
        """Answer whether requests would be served: 200 or 503."""
        if self._is_ready():
            return Response("ready\n", media_type="text/plain")
        return Response("not ready\n", 503, media_type="text/plain")

    async def metrics(self, request: Request) -> Response:
        """Answer the metrics, to this machine only."""
        if not _is_local(request):
            return _error(request, ApiError(404, "not_found", "There is no such page."))
        return Response(self._metrics.render(), media_type=CONTENT_TYPE)

    async def not_found(self, request: Request, _cause: Exception) -> Response:
        """Answer a path that does not exist, or is one of the API's that we do not serve."""
        if is_not_offered(request.method, request.scope["path"]):
            return _error(request, endpoint_not_available())
        return _error(request, ApiError(404, "unknown_url", "Unknown request URL."))

    async def wrong_method(self, request: Request, cause: Exception) -> Response:
        """Answer a method that the path does not take, with those that it takes."""
        if is_not_offered(request.method, request.scope["path"]):
            return _error(request, endpoint_not_available())
        error = ApiError(405, "method_not_allowed", "The path does not take this method.")
        response = _error(request, error)
        response.headers.update(getattr(cause, "headers", None) or {})
        return response

    async def fault(self, request: Request, _cause: Exception) -> Response:
        """Answer a fault of ours, whose error is reported where it is caught."""
        return _error(request, internal())


def _is_local(request: Request) -> bool:
    try:
        return ipaddress.ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False


def _error(request: Request, error: ApiError) -> Response:
    request_id = new_request_id()
    body = error.body()
    if is_googles(request.scope["path"], request.scope["headers"]):
        body = envelope(error, format_id("req", request_id))
    response = Response(body, error.status, media_type="application/json")
    for name, value in answer_headers.of_request(request_id):
        response.headers[name.decode()] = value.decode()
    return response

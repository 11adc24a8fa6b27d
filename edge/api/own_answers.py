"""Answers that are ours and about an account: whole, in JSON, kept by nobody on the way."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from edge.errors import ApiError
from kit.ids import format_id, new_request_id

_NO_HEADERS: Mapping[str, str] = {}


def own_answer(status: int, body: bytes, more: Mapping[str, str] = _NO_HEADERS) -> Response:
    """Return an answer with a request id of its own; further headers win."""
    headers = {"x-request-id": format_id("req", new_request_id()), "cache-control": "no-store"}
    return Response(body, status, {**headers, **more}, "application/json")


def own_refusal(error: ApiError, more: Mapping[str, str] = _NO_HEADERS) -> Response:
    """Return an error as an answer, with further headers."""
    its_own = {name.decode(): value.decode() for name, value in error.headers.items()}
    return own_answer(error.status, error.body(), {**more, **its_own})

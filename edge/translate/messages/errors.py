"""Errors in Anthropic's shape, whole and inside streams (Claude API reference, errors)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate.surface import Problem

TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The type of each status; other ones from 500 on are `api_error`, those below the client's."""
_KNOWN: Final = frozenset(TYPES.values())
UPSTREAM_CODE: Final = "upstream_stream_error"


def error_body(problem: Problem, request_id: str) -> bytes:
    """Return an error as the whole body of an answer, or as the data of an event.

    `details.error_code` is where the SDKs look for a code; the rest of `details` is what the
    OpenAI-shaped errors have besides.
    """
    details: dict[str, Any] = {"error_code": problem.code, "param": problem.param, **problem.extra}
    told = {name: value for name, value in details.items() if value is not None}
    return _envelope(type_of(problem.status), problem.message, told, request_id)


def error_event(problem: Problem, request_id: str) -> bytes:
    """Return an error inside a stream."""
    return event(b"error", error_body(problem, request_id))


def stream_error(message: str, type: str, request_id: str | None) -> bytes:
    """Return an upstream's in-band error; a type that is none of Anthropic's is not repeated."""
    kind = type if type in _KNOWN else "api_error"
    return event(b"error", _envelope(kind, message, {"error_code": UPSTREAM_CODE}, request_id))


def type_of(status: int) -> str:
    """Return the error type of an HTTP status."""
    known = TYPES.get(status)
    if known is not None:
        return known
    return "api_error" if status >= 500 else "invalid_request_error"


def event(name: bytes, data: bytes) -> bytes:
    """Return a frame of a stream; the data must be on one line."""
    return b"event: %b\ndata: %b\n\n" % (name, data)


def _envelope(type: str, message: str, details: dict[str, Any], request_id: str | None) -> bytes:
    error: dict[str, Any] = {"type": type, "message": message}
    if details:
        error["details"] = details
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})

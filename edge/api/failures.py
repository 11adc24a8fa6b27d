"""What a client is told when no upstream served its request."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.errors import ApiError, lane_unavailable
from edge.upstream.attempts import Failure
from oneapi.metering.v1 import usage_record_pb2 as usage

_SERVER: Final = "server_error"
_TIMEOUT: Final = (504, "upstream_timeout", "The upstream did not answer in time.")
_TABLE: Final[dict[int, tuple[int, str, str]]] = {
    usage.ERROR_CLASS_FIRST_BYTE_TIMEOUT: _TIMEOUT,
    usage.ERROR_CLASS_IDLE_TIMEOUT: _TIMEOUT,
    usage.ERROR_CLASS_REQUEST_DEADLINE: (
        504,
        "request_deadline",
        "The request ran for too long.",
    ),
    usage.ERROR_CLASS_SPOOL: (503, "not_recorded", "The request could not be recorded."),
    usage.ERROR_CLASS_INTERNAL: (
        500,
        "internal_error",
        "A fault of ours. The request id finds it.",
    ),
    usage.ERROR_CLASS_CUT: (502, "upstream_cut", "The upstream cut its answer."),
}
_FAILED: Final = (502, "upstream_failed", "The upstream failed to answer.")


def error_of(failure: Failure) -> ApiError:
    """Return the error for how the last attempt failed."""
    if failure.error_class == usage.ERROR_CLASS_UPSTREAM_REFUSED:
        return _refusal(failure)
    if failure.error_class == usage.ERROR_CLASS_UPSTREAM_RATE_LIMITED:
        return _rate_limited(failure)
    if failure.error_class == usage.ERROR_CLASS_NO_CAPACITY:
        return lane_unavailable()
    status, code, message = _TABLE.get(failure.error_class, _FAILED)
    error = ApiError(status, code, message, _SERVER)
    if failure.error_class == usage.ERROR_CLASS_REQUEST_DEADLINE:
        # A client that takes even this too slowly is cut off, with whatever it would ask next.
        error.headers[b"connection"] = b"close"
    return error


def _rate_limited(failure: Failure) -> ApiError:
    told = failure.retry_after or b""
    return ApiError(
        429,
        "upstream_rate_limited",
        "Every upstream of this model is limiting requests now.",
        "requests",
        headers={b"retry-after": told if told.isdigit() else b"5"},
    )


def _refusal(failure: Failure) -> ApiError:
    """Pass on what the provider says of the client's request: its own affair, kept nowhere."""
    told = _told(failure.body)
    return ApiError(
        failure.status,
        _text(told.get("code")) or "upstream_refused",
        _text(told.get("message")) or "The upstream refused the request.",
        _text(told.get("type")) or "invalid_request_error",
        _text(told.get("param")),
    )


def _told(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)
    return error if isinstance(error, dict) else {"message": error}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""Errors that clients see: OpenAI's envelope, a code of ours, never a text that we did not write.

The one table from reasons to HTTP is here. Money errors say `x-should-retry: false`, so that SDKs
do not burn attempts on them; limits say when to come again (SDKs honour it up to 120 s).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import orjson

from kit.money import format_dollars
from kit.reasons import DomainError
from oneapi.common.v1.error_reason_pb2 import ErrorReason as R

INVALID: Final = "invalid_request_error"
NO_RETRY: Final = {b"x-should-retry": b"false"}


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that is an error. `message` is ours: constant words, numbers, names of fields."""

    status: int
    code: str | None
    message: str
    type: str = INVALID
    param: str | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    extra: dict[str, str | int] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the JSON envelope; all four keys of OpenAI's are always there."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return orjson.dumps({"error": {**error, **self.extra}})


def invalid(code: str, message: str, param: str | None = None) -> ApiError:
    """Return a 400 about one field of the request."""
    return ApiError(400, code, message, param=param)


def unavailable(code: str, message: str, *, retry_seconds: int = 2) -> ApiError:
    """Return a 503 that says when to come again."""
    return ApiError(503, code, message, "server_error", headers=_retry(retry_seconds * 1000))


def rate_limited(limit: str, retry_ms: int) -> ApiError:
    """Return the 429 of a key's own limit."""
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"The limit of {limit} of this API key is used up. Try again in {retry_ms} ms.",
        "tokens" if limit == "tokens" else "requests",
        headers=_retry(retry_ms),
    )


def free_models_limited(retry_ms: int) -> ApiError:
    """Return the 429 of a workspace that asks too often for what costs nothing."""
    return ApiError(
        429,
        "rate_limit_exceeded",
        "The limit of requests of this workspace that cost nothing is used up. Try again in"
        f" {retry_ms} ms.",
        "requests",
        headers=_retry(retry_ms),
    )


def archive_limited(retry_ms: int) -> ApiError:
    """Return the 429 of a key that asks for the archive too often, or too much of it at once."""
    return ApiError(
        429,
        "rate_limit_exceeded",
        "This API key asks for the archive too often, or for too many files at the same time. Try"
        f" again in {retry_ms} ms.",
        "requests",
        headers=_retry(retry_ms),
    )


def spend_limit_reached() -> ApiError:
    """Return the 429 of a key whose or whose workspace's spend limit does not allow the request."""
    return ApiError(
        429,
        "spend_limit_reached",
        "What this request may cost is more than the spend limit of this API key, or of its"
        " workspace, has left.",
        "insufficient_quota",
        headers=dict(NO_RETRY),
    )


def no_zero_retention_upstream() -> ApiError:
    """Return the 403 of a request for upstreams that keep nothing where there is none."""
    return ApiError(
        403,
        "no_zero_retention_upstream",
        "This API key or its workspace requires zero data retention, and no upstream that keeps "
        "nothing serves this model in this lane.",
        param="model",
    )


def endpoint_not_available() -> ApiError:
    """Return the 404 of an endpoint that this installation does not serve."""
    return ApiError(
        404, "endpoint_not_available", "This endpoint is not available here. See the API reference."
    )


def lane_unavailable() -> ApiError:
    """Return the 429 of a lane in which no upstream has room, or none to spare."""
    message = "No upstream has room for this model in this lane now."
    return ApiError(429, "lane_unavailable", message, "requests", headers=_retry(5_000))


def insufficient_credits(available_nanos: int, hold_nanos: int, could_pay: str) -> ApiError:
    """Return the 402 that says what there is, what was needed and what it would pay for."""
    return ApiError(
        402,
        "insufficient_credits",
        f"This request may cost up to {format_dollars(hold_nanos)} US dollars and "
        f"{format_dollars(max(0, available_nanos))} are available. {could_pay}",
        "insufficient_quota",
        headers=dict(NO_RETRY),
    )


def unknown_key() -> ApiError:
    """Return the 401 of a key that nobody knows; it never repeats the key."""
    return ApiError(
        401,
        "invalid_api_key",
        "Incorrect API key provided. You can find your API keys in the dashboard.",
    )


def internal() -> ApiError:
    """Return the 500 of a fault of ours."""
    return ApiError(
        500, "internal_error", "A fault of ours. The request id finds it.", "server_error"
    )


_TABLE: Final[dict[R.ValueType, tuple[int, str, str, str]]] = {
    R.ERROR_REASON_PERMISSION_MISSING: (
        403,
        "permission_missing",
        "This API key lacks the permission for this, or the workspace is not its own.",
        "permission_error",
    ),
    R.ERROR_REASON_WORKSPACE_NOT_ACTIVE: (
        403,
        "workspace_not_active",
        "The workspace of this API key is suspended or closed.",
        "permission_error",
    ),
    R.ERROR_REASON_CREDIT_IN_USE: (
        503,
        "credit_in_use",
        "The credit of this workspace is set aside for requests that still run.",
        "server_error",
    ),
    R.ERROR_REASON_EPOCH_FENCED: (
        503,
        "restarting",
        "This server is being replaced.",
        "server_error",
    ),
    R.ERROR_REASON_UNAVAILABLE: (
        503,
        "billing_unavailable",
        "Credit cannot be checked now.",
        "server_error",
    ),
}


def from_domain(error: DomainError) -> ApiError:
    """Return what a client sees of a domain error; what it does not know is a fault of ours."""
    if error.reason == R.ERROR_REASON_RATE_LIMITED:
        retry_ms = error.metadata.get("retry_ms")
        if retry_ms is None:
            return spend_limit_reached()
        return rate_limited(error.metadata["limit"], int(retry_ms))
    row = _TABLE.get(error.reason)
    if row is None:
        return internal()
    status, code, message, kind = row
    headers = _retry(1_000) if status == 503 else {}
    return ApiError(status, code, message, kind, headers=headers)


def _retry(retry_ms: int) -> dict[bytes, bytes]:
    seconds = max(1, -(-retry_ms // 1000))
    return {
        b"retry-after": str(seconds).encode(),
        b"retry-after-ms": str(max(1, retry_ms)).encode(),
    }

"""Errors in Google's envelope: a google.rpc status by name, and one ErrorInfo (AIP-193)."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from edge.translate import sse
from edge.translate.surface import Problem

ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
DOMAIN: Final = "1api.club"
UNTOLD: Final = "The upstream reported an error."
_UPSTREAM_STATUS: Final = 502
# google.rpc.Code by HTTP status, as google/rpc/code.proto maps them; 402 is about a quota of money.
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NOT_A_REASON: Final = re.compile(r"[^A-Z0-9]+")
_MAX_REASON: Final = 63


def envelope(problem: Problem, request_id: str) -> bytes:
    """Return an error as the whole body of an answer."""
    metadata = {name: str(value) for name, value in problem.extra.items()}
    if problem.param is not None:
        metadata["field"] = problem.param
    metadata["requestId"] = request_id
    return _envelope(problem.status, problem.message, problem.code, metadata)


def error_frame(problem: Problem, request_id: str) -> bytes:
    """Return an error inside a stream: Google's SDKs raise it by its first member."""
    return sse.frame_of(envelope(problem, request_id))


def failed_frame(message: str) -> bytes:
    """Return a provider's in-band error as ours; its words go to the client and nowhere else."""
    return sse.frame_of(_envelope(_UPSTREAM_STATUS, message or UNTOLD, "upstream_stream_error", {}))


def message_of(error: Any) -> str:
    """Return the words of an in-band error of Google's."""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else UNTOLD


def _envelope(status: int, message: str, code: str | None, metadata: dict[str, str]) -> bytes:
    name = _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "UNKNOWN")
    info = {
        "@type": ERROR_INFO,
        "reason": _reason(code) or name,
        "domain": DOMAIN,
        "metadata": metadata,
    }
    error = {"code": status, "message": message, "status": name, "details": [info]}
    return orjson.dumps({"error": error})


def _reason(code: str | None) -> str:
    """Return a code as AIP-193 wants reasons, in UPPER_SNAKE_CASE of at most 63 signs."""
    return _NOT_A_REASON.sub("_", (code or "").upper())[:_MAX_REASON].strip("_")

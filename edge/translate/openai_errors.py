"""Errors as OpenAI's SDKs read them, for all of its surfaces but chat, which has its own."""

from __future__ import annotations

from typing import Any

from edge.translate import sse
from edge.translate.chat.stream import upstream_error_event
from edge.translate.chat.surface import error_body
from edge.translate.surface import Problem

__all__ = ["error_body", "error_event", "failed_event", "message_of"]


def error_event(problem: Problem) -> bytes:
    """Return an error of ours inside a stream."""
    return sse.frame_of(error_body(problem))


def failed_event(message: str) -> bytes:
    """Return a provider's in-band error with our code; its message is the client's own affair."""
    return upstream_error_event(message)


def message_of(event: dict[str, Any]) -> str:
    """Return the message of a provider's in-band error, maybe empty."""
    error = event.get("error")
    told = error if isinstance(error, dict) else event
    message = told.get("message", error)
    return message if isinstance(message, str) else ""

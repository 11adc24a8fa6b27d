"""A client's message request: what we use of it is checked, everything else passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields
from edge.translate.errors import EmptyArray, InvalidValue, MissingParameter
from edge.translate.messages.headers import forwarded
from edge.translate.surface import Header
from edge.translate.tiers import service_tier

MAX_MESSAGES: Final = 100_000
"""As many as Anthropic takes (Messages API reference)."""
MAX_TOKEN_LIMIT: Final = 2**31 - 1
BETA_QUERY: Final = b"beta=true"


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class MessagesRequest:
    """A checked request. `body` is content: it is never shown, logged or kept.

    `headers` and `is_beta` (the SDKs' `?beta=true`) are what else an upstream that serves messages
    gets of it. Counting tokens needs no limit of them.
    """

    body: dict[str, Any] = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    token_limit: int | None
    service_tier: str | None
    headers: tuple[Header, ...]
    is_beta: bool


def parse(
    body: dict[str, Any], sent: Mapping[bytes, bytes], query: bytes, *, counts_only: bool = False
) -> MessagesRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    _check_messages(body)
    limit = fields.integer(body, "max_tokens", minimum=1, maximum=MAX_TOKEN_LIMIT)
    if limit is None and not counts_only:
        raise MissingParameter("max_tokens")
    return MessagesRequest(
        body=body,
        model=fields.text(body, "model") or None,
        stream=bool(fields.flag(body, "stream")) and not counts_only,
        token_limit=limit,
        service_tier=service_tier(body),
        headers=forwarded(sent),
        is_beta=query == BETA_QUERY,
    )


def _check_messages(body: Mapping[str, Any]) -> None:
    if body.get("messages") is None:
        raise MissingParameter("messages")
    messages = fields.mappings(body, "messages")
    if not messages:
        raise EmptyArray("messages")
    if len(messages) > MAX_MESSAGES:
        raise InvalidValue("messages")
    for place, message in messages:
        if message.get("content") is None:
            raise MissingParameter(f"{place}.content")
    fields.mapping(body, "thinking")

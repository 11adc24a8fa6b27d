"""Cuts times and counts of a record to what their fields hold; money and ids are never cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from edge.metering.records import Attempt, Checkpoint, Outcome

_UINT32_MAX: Final = 2**32 - 1
_Body = TypeVar("_Body")


def bounded(body: _Body) -> _Body:
    """Return the body with every time and count in 0..2^32-1."""
    if isinstance(body, Outcome):
        return replace(
            body,
            first_token_ms=_count(body.first_token_ms),
            total_ms=_count(body.total_ms),
            delivered_events=_count(body.delivered_events),
            attempts_omitted=_count(body.attempts_omitted),
            attempts=tuple(_bounded_attempt(attempt) for attempt in body.attempts),
        )
    if isinstance(body, Checkpoint):
        return replace(
            body,
            output_tokens=_count(body.output_tokens),
            delivered_events=_count(body.delivered_events),
        )
    return body


def _bounded_attempt(attempt: Attempt) -> Attempt:
    return replace(
        attempt,
        started_ms=_count(attempt.started_ms),
        duration_ms=_count(attempt.duration_ms),
    )


def _count(value: int) -> int:
    return min(max(value, 0), _UINT32_MAX)

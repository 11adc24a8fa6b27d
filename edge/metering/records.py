"""What the spool keeps of a request: ids, numbers and enum values, nothing that could hold text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

from kit.charge import NOTHING, Quantities

MAX_ATTEMPTS: Final = 8
"""Attempts a record lists; further ones are counted only."""


@dataclass(slots=True)
class Intent:
    """A request that was accepted; written before its upstream is contacted."""

    request_id: bytes
    workspace_id: bytes
    key_id: bytes
    started_at_micros: int
    model_number: int
    requested_lane: int
    served_lane: int
    endpoint: int
    streamed: bool
    price_version: int
    hold_nanos: int
    upstream_number: int = 0


@dataclass(slots=True)
class Attempt:
    """One upstream attempt; times in milliseconds, the first one from the request's start."""

    upstream_number: int
    http_status: int
    error_class: int
    started_ms: int
    duration_ms: int


@dataclass(slots=True, kw_only=True)
class Outcome(Intent):
    """How a request ended and what it used; becomes the usage record."""

    outcome: int
    quantities: Quantities = NOTHING
    error_class: int = 0
    finish_reason: int = 0
    http_status: int = 0
    first_token_ms: int = 0
    total_ms: int = 0
    charge_nanos: int = 0
    usage_source: int = 0
    waive_reason: int = 0
    delivered_events: int = 0
    attempts: tuple[Attempt, ...] = ()
    attempts_omitted: int = 0
    data_policy: int = 0
    """The class of the upstream that served; 0 where none did."""

    @classmethod
    def of(cls, intent: Intent, **values: Any) -> Outcome:
        """Return the outcome of an intent; `values` name the outcome's own fields."""
        return cls(*_intent_fields(intent), **values)


_intent_fields = attrgetter(*(field.name for field in fields(Intent)))


@dataclass(slots=True)
class Checkpoint:
    """What a running stream has provably delivered, and what that alone would cost."""

    request_id: bytes
    output_tokens: int
    delivered_events: int
    charge_nanos: int


@dataclass(slots=True)
class SegmentStart:
    """The head of a segment file."""

    frames: int
    """How many frames the segment was made for, this one included."""


@dataclass(slots=True)
class Withdrawn:
    """An outcome that was never durable and that nobody may count."""

    request_id: bytes

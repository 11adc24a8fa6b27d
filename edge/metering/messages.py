"""Usage records as core takes them."""

from __future__ import annotations

from typing import Any, Final

from edge.metering.frames import outcome_values, read_attempts
from edge.metering.records import Attempt
from kit.charge import Dimension
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest

_QUANTITY_FIELDS: Final = {
    Dimension.INPUT: "input_tokens",
    Dimension.CACHED_INPUT: "cached_input_tokens",
    Dimension.CACHE_WRITE: "cache_write_tokens",
    Dimension.CACHE_WRITE_LONG: "cache_write_long_tokens",
    Dimension.OUTPUT: "output_tokens",
    Dimension.REASONING: "reasoning_tokens",
    Dimension.AUDIO_INPUT: "audio_input_tokens",
    Dimension.AUDIO_OUTPUT: "audio_output_tokens",
    Dimension.IMAGE_INPUT: "image_input_tokens",
    Dimension.IMAGE_OUTPUT: "image_output_tokens",
    Dimension.REQUESTS: "requests",
    Dimension.TOOL_CALLS: "tool_calls",
}
_NAMES: Final = tuple(_QUANTITY_FIELDS[dimension] for dimension in Dimension)


def add_record(request: RecordUsageRequest, sequence: int, raw: bytes) -> None:
    """Add the record in a checked OUTCOME frame to a message; numbers of enums pass as they are.

    Filled in place by nested mappings: a record that is built first is copied twice.
    """
    intent, amounts, rest = outcome_values(raw)
    request_id, workspace_id, key_id, started, model, upstream, asked, served = intent[:8]
    endpoint, streamed, price, hold = intent[8:]
    charge, outcome, error, finish, source, waive, listed, status = rest[:8]
    first_token_ms, total_ms, delivered, omitted, attempts = rest[8:]
    record: dict[str, Any] = {
        "request_id": request_id,
        "workspace_id": workspace_id,
        "key_id": key_id,
        "started_at_micros": started,
        "model_number": model,
        "requested_lane": asked,
        "served_lane": served,
        "upstream_number": upstream,
        "endpoint": endpoint,
        "streamed": streamed,
        "quantities": {
            name: amount for name, amount in zip(_NAMES, amounts, strict=True) if amount
        },
        "outcome": outcome,
        "error_class": error,
        "http_status": status,
        "first_token_ms": first_token_ms,
        "total_ms": total_ms,
        "price_version": price,
        "charge_nanos": charge,
        "usage_source": source,
        "hold_nanos": hold,
        "attempts": [_attempt(attempt) for attempt in read_attempts(attempts, listed)],
        "attempts_omitted": omitted,
        "finish_reason": finish,
        "delivered_events": delivered,
        "waive_reason": waive,
    }
    request.records.add(sequence=sequence, record=record)


def _attempt(attempt: Attempt) -> dict[str, int]:
    return {
        "upstream_number": attempt.upstream_number,
        "http_status": attempt.http_status,
        "error_class": attempt.error_class,
        "started_ms": attempt.started_ms,
        "duration_ms": attempt.duration_ms,
    }

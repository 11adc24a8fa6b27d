"""Usage records as core takes them."""

from __future__ import annotations

from typing import Final

from edge.metering.frames import outcome_values, read_attempts
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

    Filled in place, field by field: mappings that name the fields cost more than twice as much.
    """
    intent, amounts, rest = outcome_values(raw)
    sequenced = request.records.add()
    sequenced.sequence = sequence
    record = sequenced.record
    record.request_id, record.workspace_id, record.key_id = intent[:3]
    record.started_at_micros, record.model_number, record.upstream_number = intent[3:6]
    record.requested_lane, record.served_lane, record.endpoint, record.streamed = intent[6:10]
    record.price_version, record.hold_nanos = intent[10:]
    charge, outcome, error, finish, source, waive, listed, status = rest[:8]
    record.charge_nanos, record.usage_source, record.waive_reason = charge, source, waive
    record.outcome, record.error_class, record.finish_reason = outcome, error, finish
    record.http_status, (record.first_token_ms, record.total_ms) = status, rest[8:10]
    record.delivered_events, record.attempts_omitted, attempts, record.data_policy = rest[10:]
    quantities = record.quantities
    for name, amount in zip(_NAMES, amounts, strict=True):
        if amount:
            setattr(quantities, name, amount)
    for attempt in read_attempts(attempts, listed):
        added = record.attempts.add()
        added.upstream_number, added.http_status = attempt.upstream_number, attempt.http_status
        added.error_class = attempt.error_class  # type: ignore[assignment]
        added.started_ms, added.duration_ms = attempt.started_ms, attempt.duration_ms

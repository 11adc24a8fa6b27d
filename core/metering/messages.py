"""Between messages and records, nothing else."""

from __future__ import annotations

from typing import Final

from core.metering.model import Record
from kit.charge import Quantities
from oneapi.common.v1 import quantities_pb2
from oneapi.metering.v1 import usage_record_pb2 as pb

_QUANTITY_FIELDS: Final = [field.name for field in quantities_pb2.Quantities.DESCRIPTOR.fields]


def record_of(message: pb.UsageRecord) -> Record:
    """Return the record that an edge reported."""
    return Record(
        request_id=message.request_id,
        workspace_id=message.workspace_id,
        key_id=message.key_id,
        started_at_micros=message.started_at_micros,
        model_number=message.model_number,
        requested_lane=message.requested_lane,
        served_lane=message.served_lane,
        upstream_number=message.upstream_number,
        endpoint=message.endpoint,
        streamed=message.streamed,
        quantities=quantities_of(message.quantities),
        outcome=message.outcome,
        error_class=message.error_class,
        finish_reason=message.finish_reason,
        http_status=message.http_status,
        first_token_ms=message.first_token_ms,
        total_ms=message.total_ms,
        price_version=message.price_version,
        waive_reason=message.waive_reason,
        usage_source=message.usage_source,
        hold_nanos=message.hold_nanos,
        attempts_omitted=message.attempts_omitted,
        delivered_events=message.delivered_events,
        data_policy=message.data_policy,
        attempts=tuple(number for attempt in message.attempts for number in _numbers(attempt)),
    )


def quantities_of(message: quantities_pb2.Quantities) -> Quantities:
    """Return quantities in the order of `Dimension`."""
    return (
        message.input_tokens,
        message.cached_input_tokens,
        message.cache_write_tokens,
        message.cache_write_long_tokens,
        message.output_tokens,
        message.reasoning_tokens,
        message.audio_input_tokens,
        message.audio_output_tokens,
        message.image_input_tokens,
        message.image_output_tokens,
        message.requests,
        message.tool_calls,
    )


def quantities_message(values: Quantities) -> quantities_pb2.Quantities:
    """Render quantities."""
    return quantities_pb2.Quantities(**dict(zip(_QUANTITY_FIELDS, values, strict=True)))


def _numbers(attempt: pb.Attempt) -> tuple[int, ...]:
    return (
        attempt.upstream_number,
        attempt.http_status,
        attempt.error_class,
        attempt.started_ms,
        attempt.duration_ms,
    )

"""Usage records as core takes them."""

from __future__ import annotations

from typing import Final

from edge.metering.records import Attempt, Outcome
from kit.charge import Dimension
from oneapi.common.v1 import quantities_pb2
from oneapi.metering.v1 import usage_record_pb2

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


def usage_record(outcome: Outcome) -> usage_record_pb2.UsageRecord:
    """Return the record of an outcome; numbers of enums pass as they are."""
    counted = zip(_NAMES, outcome.quantities, strict=True)
    # Enum fields are open in proto3: a number that this build does not name is core's to judge.
    return usage_record_pb2.UsageRecord(
        request_id=outcome.request_id,
        workspace_id=outcome.workspace_id,
        key_id=outcome.key_id,
        started_at_micros=outcome.started_at_micros,
        model_number=outcome.model_number,
        requested_lane=outcome.requested_lane,  # type: ignore[arg-type]
        served_lane=outcome.served_lane,  # type: ignore[arg-type]
        upstream_number=outcome.upstream_number,
        endpoint=outcome.endpoint,  # type: ignore[arg-type]
        streamed=outcome.streamed,
        quantities=quantities_pb2.Quantities(**{name: value for name, value in counted if value}),
        outcome=outcome.outcome,  # type: ignore[arg-type]
        error_class=outcome.error_class,  # type: ignore[arg-type]
        http_status=outcome.http_status,
        first_token_ms=outcome.first_token_ms,
        total_ms=outcome.total_ms,
        price_version=outcome.price_version,
        charge_nanos=outcome.charge_nanos,
        usage_source=outcome.usage_source,  # type: ignore[arg-type]
        hold_nanos=outcome.hold_nanos,
        attempts=[_attempt(attempt) for attempt in outcome.attempts],
        attempts_omitted=outcome.attempts_omitted,
        finish_reason=outcome.finish_reason,  # type: ignore[arg-type]
        delivered_events=outcome.delivered_events,
        waive_reason=outcome.waive_reason,  # type: ignore[arg-type]
    )


def _attempt(attempt: Attempt) -> usage_record_pb2.Attempt:
    return usage_record_pb2.Attempt(
        upstream_number=attempt.upstream_number,
        http_status=attempt.http_status,
        error_class=attempt.error_class,  # type: ignore[arg-type]
        started_ms=attempt.started_ms,
        duration_ms=attempt.duration_ms,
    )

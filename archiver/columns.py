"""The columns of the archive's usage files: an allow-list, and how an export becomes them.

Everything of a usage record that its customer may see. Not the upstreams that were asked, the edge
and its epoch: they say how we run the service, not what was used. Enums are words, money is exact
dollars, and what is not known or did not happen is null. A column may be added at the end; none
changes its type or meaning (`usage/v1`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kit.charge import Dimension
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1.usage_record_pb2 import (
    ErrorClass,
    FinishReason,
    Outcome,
    UsageSource,
    WaiveReason,
)

SCHEMA_ID: Final = "usage/v1"
UUID: Final = pa.uuid()
TIME: Final = pa.timestamp("us", tz="UTC")
DOLLARS: Final = pa.decimal128(20, 9)
_NANOS: Final = pa.decimal128(19, 0)
QUANTITIES: Final = tuple(
    each.name.lower() + ("" if each in {Dimension.REQUESTS, Dimension.TOOL_CALLS} else "_tokens")
    for each in Dimension
)


class ExportNotUnderstood(ValueError):
    """An export has not the columns or the numbers of this version; carries none of them."""


class Column(NamedTuple):
    """A column of the files: its name, what it is made of, and what a reader is told of it."""

    name: str
    type: Any
    unit: str
    description: str
    source: str = ""
    words: Any = None
    zero_is_null: bool = False

    @property
    def exported(self) -> str:
        """Return the column of the export that it is made of."""
        return self.source or self.name


def _id(name: str, description: str, source: str = "") -> Column:
    return Column(name, UUID, "", description, source)


def _word(name: str, enum: Any, description: str) -> Column:
    return Column(name, pa.string(), "", description, words=enum)


def _count(name: str, description: str, unit: str = "tokens") -> Column:
    return Column(name, pa.int64(), unit, description)


def _dollars(name: str, description: str) -> Column:
    return Column(name, DOLLARS, "USD", description, f"{name}_nanos")


COLUMNS: Final = (
    _id("request_id", "The request: the digits of x-request-id behind req_. Time-ordered.", "id"),
    _id("workspace_id", "The workspace: the digits behind ws_."),
    _id("key_id", "The API key: the digits behind key_; zeros where it was erased."),
    Column("started_at", TIME, "", "When the request was accepted."),
    Column("model", pa.string(), "", "The public model id."),
    _word("requested_lane", Lane, "The lane that was asked for."),
    _word("served_lane", Lane, "The lane that served."),
    _word("endpoint", Endpoint, "The API surface."),
    Column("streamed", pa.bool_(), "", "Whether a stream was asked for."),
    _count("input_tokens", "Text input neither read from nor written to a cache."),
    _count("cached_input_tokens", "Input read from the prompt cache."),
    _count("cache_write_tokens", "Input written to the short-lived prompt cache."),
    _count("cache_write_long_tokens", "Input written to the one-hour prompt cache."),
    _count("output_tokens", "Text output without reasoning."),
    _count("reasoning_tokens", "Reasoning."),
    _count("audio_input_tokens", "Audio input."),
    _count("audio_output_tokens", "Audio output."),
    _count("image_input_tokens", "Image input, where it is counted apart from text."),
    _count("image_output_tokens", "Image output."),
    _count("requests", "Requests, for prices per request.", "requests"),
    _count("tool_calls", "Calls of tools that the provider runs and bills.", "calls"),
    _word("outcome", Outcome, "How the request ended."),
    _word("error_class", ErrorClass, "Why it failed; null if it did not."),
    _word("finish_reason", FinishReason, "Why the model stopped; null if not stated."),
    Column("http_status", pa.int16(), "", "The HTTP status; null if none.", zero_is_null=True),
    Column("first_token_ms", pa.int32(), "ms", "To the first token; null if none.",
           zero_is_null=True),
    Column("total_ms", pa.int32(), "ms", "In total."),
    Column("price_version", pa.int32(), "", "The version of the price that was in force."),
    _dollars("charge", "What was charged."),
    _dollars("waived", "What was not charged, for the reason in waive_reason."),
    _word("waive_reason", WaiveReason, "Why nothing was charged; null if it was."),
    _word("usage_source", UsageSource, "Who counted; null if nothing was used."),
    _dollars("hold", "What was set aside while the request ran."),
    Column("attempts", pa.int32(), "", "How often a provider was asked."),
    Column("delivered_events", pa.int32(), "", "Output events that were relayed."),
    _word("data_policy", DataPolicy, "The data policy of who served; null if not known."),
    _id("settlement_id", "The ledger transaction that charged it: the digits behind txn_."),
)  # fmt: skip
NAMES: Final = tuple(column.name for column in COLUMNS)
_WIRE_TYPES: Final = {
    **{column.exported: column.type for column in COLUMNS},
    **{column.name: pa.int16() for column in COLUMNS if column.words is not None},
    **{column.exported: pa.int64() for column in COLUMNS if column.type == DOLLARS},
}
EXPORTED: Final = tuple(column.exported for column in COLUMNS)


@cache
def _words_of(enum: Any) -> pa.Array:
    """Return the words of an enum by their numbers; null where there is none, and for 0."""
    values = enum.DESCRIPTOR.values_by_number
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    words = [
        values[number].name.removeprefix(prefix).lower() if number in values and number else None
        for number in range(max(values) + 1)
    ]
    return pa.array(words, pa.string())


def _field(column: Column) -> pa.Field:
    told = {"description": column.description, "unit": column.unit}
    nullable = column.words is not None or column.zero_is_null
    present = {key: value for key, value in told.items() if value}
    return pa.field(column.name, column.type, nullable=nullable, metadata=present)


FILE_SCHEMA: Final = pa.schema(
    [_field(column) for column in COLUMNS],
    metadata={"schema": SCHEMA_ID, "description": "One row for each request. No content."},
)
WIRE_SCHEMA: Final = pa.schema([(name, _WIRE_TYPES[name]) for name in EXPORTED])


def chosen(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns of an export that the files are made of, in their order.

    Raises:
        ExportNotUnderstood: one is missing or has another type.
    """
    try:
        picked = batch.select(list(EXPORTED))
    except KeyError:
        raise ExportNotUnderstood from None
    if not picked.schema.equals(WIRE_SCHEMA):
        raise ExportNotUnderstood
    return picked


def to_file(rows: pa.Table) -> pa.Table:
    """Return exported rows as the files have them.

    Raises:
        ExportNotUnderstood: a number that no word of this version stands for.
    """
    whole = rows.combine_chunks()
    arrays = [_converted(column, whole.column(column.exported)) for column in COLUMNS]
    return pa.Table.from_arrays(arrays, schema=FILE_SCHEMA)


def to_nanos(amount: Any) -> int:
    """Return the nano-dollars of a decimal with nine places; None is nothing."""
    return 0 if amount is None else int(amount.scaleb(9))


def _converted(column: Column, values: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if column.words is not None:
        return _worded(_words_of(column.words), values)
    if column.type == DOLLARS:
        return pa.chunked_array([_dollars_of(chunk) for chunk in values.chunks], DOLLARS)
    if column.zero_is_null:
        return pc.if_else(pc.equal(values, 0), pa.scalar(None, column.type), values)
    return values


def _worded(words: pa.Array, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    limits = pc.min_max(numbers).as_py()
    if (limits["min"] or 0) < 0 or (limits["max"] or 0) >= len(words):
        raise ExportNotUnderstood
    worded = pc.take(words, numbers)
    if worded.null_count != pc.sum(pc.equal(numbers, 0)).as_py():
        raise ExportNotUnderstood
    return worded


def _dollars_of(nanos: pa.Array) -> pa.Array:
    # The same 16 bytes mean nano-dollars without places and dollars with nine: nothing is rounded.
    return nanos.cast(_NANOS).view(DOLLARS)

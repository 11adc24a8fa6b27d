"""Usage records as core keeps them: pure values, their hashes, and which may be taken.

A `Record` is what the edge reported; a `PricedRecord` adds what core makes of it. The hash of the
content covers every reported field (but the edge's own figure, which core computes again), so that
the same id with other content is found, at the intake and by `1api audit verify`.
"""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from kit.canonical import content_hash_of_bytes, record_leaf
from kit.charge import DIMENSIONS, MAX_QUANTITY, Price, Quantities, charge_nanos
from kit.clock import to_micros
from kit.ids import unix_ms_of, uuid7_floor
from kit.money import MAX_NANOS
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1.usage_record_pb2 import (
    ErrorClass,
    FinishReason,
    Outcome,
    UsageSource,
    WaiveReason,
)

FUTURE_MS_MAX: Final = 5 * 60 * 1_000
"""Ids further in the future are refused."""
OLDEST_MONTHS: Final = 30
"""Ids of older months are refused: no spool and no archive reaches back that far."""
MAX_ATTEMPTS: Final = 8
ATTEMPT_NUMBERS: Final = 5
_INT_MAX: Final = 2**31 - 1
_HOUR_MS: Final = 3_600_000
_HTTP_STATUS_MAX: Final = 999
_ID_BYTES: Final = 16
_UUID_VERSION: Final = 7
_FAILED: Final = frozenset({Outcome.OUTCOME_FAILED, Outcome.OUTCOME_EDGE_CRASH})
_CONTENT: Final = struct.Struct(f">B16s16s16sqiBBiB?{DIMENSIONS}QBBBHiiiBBqii")
_CONTENT_VERSION: Final = 1
_CLASSED_VERSION: Final = 2
"""Of records that name a data policy: those from before it keep the hash that they were given."""


class Record(NamedTuple):
    """What one edge reported about one request, in the order of the table's columns."""

    request_id: bytes
    workspace_id: bytes
    key_id: bytes
    started_at_micros: int
    model_number: int
    requested_lane: int
    served_lane: int
    upstream_number: int
    endpoint: int
    streamed: bool
    quantities: Quantities
    outcome: int
    error_class: int
    finish_reason: int
    http_status: int
    first_token_ms: int
    total_ms: int
    price_version: int
    waive_reason: int
    usage_source: int
    hold_nanos: int
    attempts_omitted: int
    delivered_events: int
    data_policy: int
    attempts: tuple[int, ...]

    @property
    def month(self) -> date:
        """Return the first day of the month (UTC) of the id, which is the record's month."""
        return month_of(self.request_id)

    @property
    def failed(self) -> bool:
        """Say whether the request failed, for the rollups."""
        return self.outcome in _FAILED

    def content_hash(self, waive_reason: int | None = None) -> bytes:
        """Return the hash of all that was reported, optionally as if waived for another reason."""
        head, rest = self[:_QUANTITIES], self[_QUANTITIES + 1 : _DATA_POLICY]
        version = _CLASSED_VERSION if self.data_policy else _CONTENT_VERSION
        values = [version, *head, *self.quantities, *rest]
        if waive_reason is not None:
            values[_WAIVE_VALUE] = waive_reason
        packed = _CONTENT.pack(*values) + struct.pack(f">{len(self.attempts)}i", *self.attempts)
        if self.data_policy:
            packed += struct.pack(">B", self.data_policy)
        return content_hash_of_bytes("usage_record", packed)


_QUANTITIES: Final = Record._fields.index("quantities")
_DATA_POLICY: Final = Record._fields.index("data_policy")
_WAIVE_VALUE: Final = Record._fields.index("waive_reason") + DIMENSIONS


class PricedRecord(NamedTuple):
    """A record with its place in the spool and the figure that core computed."""

    record: Record
    edge_id: int
    epoch: int
    sequence: int
    figure: int
    late: bool
    content_hash: bytes

    @property
    def waive_reason(self) -> int:
        """Return why nothing is charged; 0 if something is."""
        return WaiveReason.WAIVE_REASON_LATE if self.late else self.record.waive_reason

    @property
    def charge(self) -> int:
        """Return what is charged, nano-dollars."""
        return 0 if self.waive_reason else self.figure

    @property
    def waived(self) -> int:
        """Return what is not charged, nano-dollars."""
        return self.figure if self.waive_reason else 0

    @property
    def leaf(self) -> bytes:
        """Return the leaf in the settlement's `records_root`."""
        return record_leaf(
            self.record.request_id, self.record.price_version, self.record.quantities, self.charge
        )


def month_of(request_id: bytes) -> date:
    """Return the first day of the calendar month (UTC) of an id."""
    return _hour(unix_ms_of(request_id) // _HOUR_MS).date().replace(day=1)


def hour_of(request_id: bytes) -> datetime:
    """Return the hour (UTC) of an id."""
    return _hour(unix_ms_of(request_id) // _HOUR_MS)


def add_months(month: date, count: int) -> date:
    """Return the first day of the month so many months later."""
    years, index = divmod(month.month - 1 + count, 12)
    return date(month.year + years, index + 1, 1)


def refusal_of(record: Record, now_ms: int) -> ErrorReason.ValueType | None:
    """Return why a record can never be taken, by what it says alone; None if it can."""
    if not _is_well_formed(record):
        return ErrorReason.ERROR_REASON_RECORD_INVALID
    if unix_ms_of(record.request_id) > now_ms + FUTURE_MS_MAX:
        return ErrorReason.ERROR_REASON_RECORD_IN_THE_FUTURE
    if record.request_id < _oldest_id(now_ms // _HOUR_MS):
        return ErrorReason.ERROR_REASON_RECORD_INVALID
    return None


def figure_of(record: Record, price: Price | None) -> int | None:
    """Return what a record's usage costs, nano-dollars; None if its price is not the model's.

    Raises:
        InvalidAmountError: more than the ledger can hold.
    """
    if price is None or price.model_number != record.model_number:
        return None
    return charge_nanos(record.quantities, price)


@lru_cache(maxsize=4_096)
def _hour(hours: int) -> datetime:
    # Most records are of the same few hours, and dates are dear where records come by thousands.
    return datetime.fromtimestamp(hours * 3_600, UTC)


@lru_cache(maxsize=16)
def _oldest_id(hours: int) -> bytes:
    month = add_months(_hour(hours).date().replace(day=1), -OLDEST_MONTHS)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return uuid7_floor(to_micros(start) // 1_000)


def _is_well_formed(record: Record) -> bool:
    numbers = _small_numbers(record)
    return (
        len(record.request_id) == len(record.workspace_id) == len(record.key_id) == _ID_BYTES
        and record.request_id[6] >> 4 == _UUID_VERSION
        and 0 <= record.started_at_micros <= _MICROS_MAX
        and min(record.quantities) >= 0
        and max(record.quantities) <= MAX_QUANTITY
        and 0 <= record.hold_nanos <= MAX_NANOS
        and _has_known_words(record)
        and min(numbers) >= 0
        and max(numbers) <= _INT_MAX
        and record.http_status <= _HTTP_STATUS_MAX
        and len(record.attempts) <= MAX_ATTEMPTS * ATTEMPT_NUMBERS
    )


def _has_known_words(record: Record) -> bool:
    return (
        record.requested_lane in _LANES
        and record.served_lane in _LANES
        and record.endpoint in _ENDPOINTS
        and record.outcome in _OUTCOMES
        and record.error_class in _ERROR_CLASSES
        and record.finish_reason in _FINISH_REASONS
        and record.usage_source in _USAGE_SOURCES
        and record.waive_reason in _WAIVE_REASONS
        and record.data_policy in _DATA_POLICIES
    )


def _small_numbers(record: Record) -> tuple[int, ...]:
    return (
        record.model_number,
        record.upstream_number,
        record.http_status,
        record.first_token_ms,
        record.total_ms,
        record.price_version,
        record.attempts_omitted,
        record.delivered_events,
        *record.attempts,
    )


_MICROS_MAX: Final = 253_402_300_799_999_999
"""The end of the year 9999."""
_LANES: Final = frozenset(Lane.values())
_ENDPOINTS: Final = frozenset(Endpoint.values())
_DATA_POLICIES: Final = frozenset(DataPolicy.values())
_OUTCOMES: Final = frozenset(Outcome.values()) - {Outcome.OUTCOME_UNSPECIFIED}
_ERROR_CLASSES: Final = frozenset(ErrorClass.values())
_FINISH_REASONS: Final = frozenset(FinishReason.values())
_USAGE_SOURCES: Final = frozenset(UsageSource.values())
# Whether a record is late is for core to say.
_WAIVE_REASONS: Final = frozenset(WaiveReason.values()) - {WaiveReason.WAIVE_REASON_LATE}

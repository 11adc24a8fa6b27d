"""What made-up usage looks like: who uses how much, when, of what, and how it ends. Pure.

Realistic where an archive or a chart would show it: one workspace has half of all requests and the
others less and less, days are busier than nights and weekdays than weekends, answers have long
tails, some requests fail and some of those are waived. All of it is of its seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from core.metering.model import Record, add_months
from kit.charge import Dimension, Price, quantities
from kit.clock import to_micros
from kit.ids import uuid7_bytes
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import (
    ErrorClass,
    FinishReason,
    Outcome,
    UsageSource,
    WaiveReason,
)

FAILED_PERCENT: Final = 3
CRASHED_PER_MILLE: Final = 1
STREAMED_PERCENT: Final = 70
KEYS_MAX: Final = 5
_HOURS: Final = (1, 1, 1, 1, 1, 1, 2, 3, 6, 9, 10, 10, 8, 9, 10, 10, 9, 7, 5, 4, 3, 3, 2, 1)
"""How busy each hour of a day (UTC) is."""
_WEEKEND: Final = 3
"""How much quieter a day of a weekend is."""
# Words of protos are looked up by name each time; a row needs ten of them, and there are millions.
_CHAT: Final = Endpoint.ENDPOINT_CHAT_COMPLETIONS
_RATE_LIMITED: Final = ErrorClass.ERROR_CLASS_UPSTREAM_RATE_LIMITED
_STOPPED: Final = FinishReason.FINISH_REASON_STOP
_CRASHED: Final = Outcome.OUTCOME_EDGE_CRASH
_FAILED: Final = Outcome.OUTCOME_FAILED
_SUCCEEDED: Final = Outcome.OUTCOME_SUCCEEDED
_WAIVED: Final = WaiveReason.WAIVE_REASON_EDGE_CRASH
_UNKNOWN_SOURCE: Final = UsageSource.USAGE_SOURCE_UNSPECIFIED
_PROVIDER: Final = UsageSource.USAGE_SOURCE_PROVIDER
_NO_POLICY: Final = DataPolicy.DATA_POLICY_UNSPECIFIED
_HOUR_MS: Final = 3_600_000
_COUNTER: Final = 4_096


@dataclass(frozen=True, slots=True)
class Customer:
    """A workspace that uses something, and the keys that it does so with."""

    workspace_id: bytes
    keys: tuple[bytes, ...]


def start_of(month: date) -> datetime:
    """Return the first moment of a month (UTC)."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def row_counts(rows: int, workspaces: int) -> list[int]:
    """Share rows: half to the first workspace, the rest to the others, each less than the last."""
    if workspaces == 1:
        return [rows]
    weights = [1 / place for place in range(1, workspaces)]
    rest = rows // 2
    counts = [int(rest * weight / sum(weights)) for weight in weights]
    return [rows - sum(counts), *counts]


def month_counts(rows: int, months: int) -> list[int]:
    """Share rows over months that grow: the last one has about three times the first one's."""
    weights = [months + 2 * place for place in range(months)]
    counts = [rows * weight // sum(weights) for weight in weights]
    return [*counts[:-1], rows - sum(counts[:-1])]


def request_times(source: random.Random, month: date, count: int) -> list[int]:
    """Return the milliseconds since 1970 of a month's requests, in order."""
    start = start_of(month)
    days = (add_months(month, 1) - month).days
    weights = [
        hour if (start.weekday() + day) % 7 < 5 else hour / _WEEKEND
        for day in range(days)
        for hour in _HOURS
    ]
    first = to_micros(start) // 1_000
    hours = source.choices(range(len(weights)), weights, k=count)
    return sorted(first + hour * _HOUR_MS + source.randrange(_HOUR_MS) for hour in hours)


def records(
    source: random.Random, customer: Customer, prices: Sequence[Price], times: Sequence[int]
) -> Iterator[Record]:
    """Yield one record for each time, with ids in order; the first prices are used the most."""
    weights = [1 / place for place in range(1, len(prices) + 1)]
    chosen = source.choices(prices, weights, k=len(times))
    keys = source.choices(customer.keys, range(len(customer.keys), 0, -1), k=len(times))
    for place, (unix_ms, price, key_id) in enumerate(zip(times, chosen, keys, strict=True)):
        # Several of one millisecond stay in order: the counter comes before the random part.
        request_id = uuid7_bytes(unix_ms, place % _COUNTER, source.randbytes(8))
        yield _record(source, customer.workspace_id, key_id, price, request_id, unix_ms)


def _record(
    source: random.Random,
    workspace_id: bytes,
    key_id: bytes,
    price: Price,
    request_id: bytes,
    unix_ms: int,
) -> Record:
    failed = source.randrange(100) < FAILED_PERCENT
    crashed = not failed and source.randrange(1_000) < CRASHED_PER_MILLE
    streamed = source.randrange(100) < STREAMED_PERCENT
    used = _quantities(source, price, is_answered=not failed)
    output = used[Dimension.OUTPUT]
    first_token_ms = 0 if failed else int(source.lognormvariate(6, 0.5))
    return Record(
        request_id=request_id,
        workspace_id=workspace_id,
        key_id=key_id,
        started_at_micros=unix_ms * 1_000 + source.randrange(1_000),
        model_number=price.model_number,
        requested_lane=price.lane,
        served_lane=price.lane,
        upstream_number=1,
        endpoint=_CHAT,
        streamed=streamed,
        quantities=used,
        outcome=_outcome(failed=failed, crashed=crashed),
        error_class=_RATE_LIMITED if failed else 0,
        finish_reason=0 if failed or crashed else _STOPPED,
        http_status=429 if failed else 200,
        first_token_ms=first_token_ms,
        total_ms=first_token_ms + 15 * output,
        price_version=price.number,
        waive_reason=_WAIVED if crashed else 0,
        usage_source=_UNKNOWN_SOURCE if failed else _PROVIDER,
        hold_nanos=0,
        attempts_omitted=0,
        delivered_events=output if streamed else 0,
        data_policy=_NO_POLICY,
        attempts=(),
    )


def _quantities(source: random.Random, price: Price, *, is_answered: bool) -> tuple[int, ...]:
    """Return what a request used: long inputs are mostly cached, reasoning where it has a price."""
    if not is_answered:
        return quantities()
    asked = min(int(source.lognormvariate(7, 1.2)) + 8, 120_000)
    cached = asked * source.randrange(95) // 100 if asked > 1_024 else 0
    output = min(int(source.lognormvariate(5.5, 1)) + 1, 4_096)
    rates = price.tiers[0].rates
    return quantities(
        input=asked - cached,
        cached_input=cached,
        output=output if rates[Dimension.OUTPUT] else 0,
        reasoning=output // 3 if rates[Dimension.REASONING] else 0,
        requests=1,
    )


def _outcome(*, failed: bool, crashed: bool) -> Outcome.ValueType:
    if failed:
        return _FAILED
    return _CRASHED if crashed else _SUCCEEDED

"""Usage records as pure values: hashes that cover everything, months, spool progress."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.batches import SpoolRange
from core.metering.model import (
    PricedRecord,
    Record,
    add_months,
    figure_of,
    hour_of,
    month_of,
    refusal_of,
)
from core.metering.partitions import id_range, partition_name
from core.metering.spool_progress import Progress
from kit.charge import Price, PriceTier
from kit.ids import uuid7_bytes
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1.usage_record_pb2 import Outcome, WaiveReason

NOW_MS = int(datetime(2026, 11, 20, 12, 30, tzinfo=UTC).timestamp()) * 1_000
IDENTIFIER = uuid7_bytes(NOW_MS, 0, bytes(8))
OLD_HASH = "d013ac6d0767ef5a22f29146645ce4ccf086e9cac929494fa63722b595709a1a"
"""Of the record below, as it was computed before records had a data policy."""
RECORD = Record(
    request_id=IDENTIFIER,
    workspace_id=b"w" * 16,
    key_id=b"k" * 16,
    started_at_micros=NOW_MS * 1_000,
    model_number=1,
    requested_lane=1,
    served_lane=1,
    upstream_number=1,
    endpoint=1,
    streamed=True,
    quantities=tuple(range(12)),
    outcome=Outcome.OUTCOME_SUCCEEDED,
    error_class=0,
    finish_reason=1,
    http_status=200,
    first_token_ms=1,
    total_ms=2,
    price_version=1,
    waive_reason=0,
    usage_source=1,
    hold_nanos=5,
    attempts_omitted=0,
    delivered_events=3,
    data_policy=0,
    attempts=(1, 200, 0, 0, 2),
)


def _changed(name: str) -> Record:
    return RECORD._replace(**{name: _other(getattr(RECORD, name))})


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes(16)
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    return not value if isinstance(value, bool) else value + 1


@pytest.mark.parametrize("name", Record._fields)
def test_the_content_hash_covers_every_field(name: str) -> None:
    """Any other value is other content."""
    assert _changed(name).content_hash() != RECORD.content_hash()


def test_a_record_from_before_data_policies_keeps_its_hash() -> None:
    """It was stored with the record: a proof that was right stays right."""
    assert RECORD.content_hash().hex() == OLD_HASH


def test_every_class_is_other_content() -> None:
    """Nobody can turn a class into another one, or into none, without being found."""
    classes = [RECORD._replace(data_policy=policy) for policy in DataPolicy.values()]
    assert len({record.content_hash() for record in classes}) == len(classes)


def test_the_leaf_of_a_settlement_does_not_name_the_class() -> None:
    """Proofs of settlements stay what they were."""
    plain = PricedRecord(RECORD, 1, 1, 1, 700, late=False, content_hash=b"")
    classed = plain._replace(record=RECORD._replace(data_policy=3))
    assert classed.leaf == plain.leaf


def test_late_records_are_hashed_as_waived_for_being_late() -> None:
    """So that a stored late record's hash can be computed again."""
    late = WaiveReason.WAIVE_REASON_LATE
    assert RECORD.content_hash(late) == RECORD._replace(waive_reason=late).content_hash()


def test_a_waived_record_is_charged_nothing_and_keeps_its_figure() -> None:
    """Charge and waiver exclude each other."""
    plain = PricedRecord(RECORD, 1, 1, 1, 700, late=False, content_hash=b"")
    late = plain._replace(late=True)
    assert (plain.charge, plain.waived, plain.waive_reason) == (700, 0, 0)
    assert (late.charge, late.waived, late.waive_reason) == (0, 700, 1)
    assert plain.leaf != late.leaf


def test_a_price_of_another_model_prices_nothing() -> None:
    """Neither does a missing one."""
    price = Price(1, 1, 1, 0, (PriceTier(0, (1_000_000,) * 12),))
    assert figure_of(RECORD, price) == sum(range(12))
    assert figure_of(RECORD._replace(model_number=2), price) is None
    assert figure_of(RECORD, None) is None


@pytest.mark.parametrize(
    ("unix_ms", "reason"),
    [
        (NOW_MS + 300_000, None),
        (NOW_MS + 300_001, ErrorReason.ERROR_REASON_RECORD_IN_THE_FUTURE),
        (int(datetime(2024, 5, 1, tzinfo=UTC).timestamp()) * 1_000, None),
        (
            int(datetime(2024, 5, 1, tzinfo=UTC).timestamp()) * 1_000 - 1,
            ErrorReason.ERROR_REASON_RECORD_INVALID,
        ),
        (2**48 - 1, ErrorReason.ERROR_REASON_RECORD_IN_THE_FUTURE),
        (0, ErrorReason.ERROR_REASON_RECORD_INVALID),
    ],
)
def test_ids_are_taken_from_thirty_months_ago_to_five_minutes_ahead(
    unix_ms: int, reason: ErrorReason.ValueType | None
) -> None:
    """Whatever lies outside is refused, to the millisecond."""
    record = RECORD._replace(request_id=uuid7_bytes(unix_ms, 0, bytes(8)))
    assert refusal_of(record, NOW_MS) == reason


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_id_lies_in_the_partition_of_its_month(moment: datetime) -> None:
    """The ranges of months meet without overlap or gap."""
    identifier = uuid7_bytes(int(moment.timestamp() * 1_000), 0, bytes(8))
    month = month_of(identifier)
    first, end = id_range(month)
    assert first <= identifier < end
    assert month == date(moment.year, moment.month, 1)
    assert id_range(add_months(month, 1))[0] == end
    assert hour_of(identifier) == moment.replace(minute=0, second=0, microsecond=0)


def test_partitions_are_named_by_their_month() -> None:
    """Names sort like the months."""
    assert partition_name(date(2026, 3, 1)) == "usage_record_y2026m03"
    assert add_months(date(2026, 1, 1), -1) == date(2025, 12, 1)


@pytest.mark.parametrize(
    ("spool_range", "acked", "missing"),
    [
        (SpoolRange(11, 20, accounted=10, lost=0), 20, 0),
        (SpoolRange(13, 20, accounted=8, lost=0), 20, 2),
        (SpoolRange(11, 20, accounted=10, lost=4), 20, 4),
        (SpoolRange(11, 20, accounted=7, lost=0), 20, 3),
        (SpoolRange(3, 10, accounted=1, lost=5), 10, 0),
        (SpoolRange(5, 12, accounted=8, lost=0), 12, 0),
        (SpoolRange(0, 0, accounted=1, lost=0), 10, 0),
    ],
)
def test_missing_frames_are_counted_once(spool_range: SpoolRange, acked: int, missing: int) -> None:
    """Gaps, losses and unaccounted frames count; what was acknowledged and no range do not."""
    assert Progress(10, 0).after(spool_range) == Progress(acked, missing)

"""Records, the checkpoint's charge and the quarantine file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.metering import quarantine as quarantine_module
from edge.metering.counters import Counters
from edge.metering.frames import EMPTY, Place, encode
from edge.metering.messages import add_record
from edge.metering.quarantine import Origin, Quarantine, QuarantineEntry, read_quarantine
from edge.metering.records import Attempt, Outcome
from edge.metering.ticket import provable
from kit.charge import MAX_QUANTITY
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest
from oneapi.metering.v1.usage_record_pb2 import UsageRecord
from tests.unit.edge.metering.samples import PRICE, an_intent, an_outcome


def usage_record(outcome: Outcome) -> UsageRecord:
    """Return the record that core gets for an outcome."""
    request = RecordUsageRequest()
    add_record(request, 9, encode(Place(1, 5, 9), outcome))
    assert request.records[0].sequence == 9
    return request.records[0].record


def test_every_field_of_the_contract_is_filled() -> None:
    """A field that is added to the record's contract cannot be forgotten here."""
    outcome = an_outcome(
        an_intent(),
        quantities=tuple(range(1, 13)),
        error_class=5,
        waive_reason=3,
        attempts=(Attempt(1, 2, 3, 4, 5),),
        attempts_omitted=6,
    )
    record = usage_record(outcome)
    for message in (record, record.quantities, record.attempts[0]):
        unset = set(message.DESCRIPTOR.fields_by_name) - {f.name for f, _ in message.ListFields()}
        assert unset == set()
    amounts = [value for _, value in record.quantities.ListFields()]
    assert amounts == list(range(1, 13))


def test_a_record_says_what_the_outcome_says() -> None:
    """Spot checks of names that could be swapped."""
    record = usage_record(an_outcome(an_intent()))
    assert (record.requested_lane, record.served_lane, record.endpoint) == (1, 2, 1)
    assert (record.model_number, record.upstream_number, record.price_version) == (3, 4, 7)
    assert (record.first_token_ms, record.total_ms, record.hold_nanos) == (120, 900, 10**9)


@pytest.mark.parametrize(
    ("tokens", "hold", "expected"),
    [(10, 100, (10, 20)), (100, 100, (50, 100)), (-5, 100, (0, 0)), (2**40, 10**18, None)],
)
def test_a_checkpoint_never_exceeds_the_hold(
    tokens: int, hold: int, expected: tuple[int, int] | None
) -> None:
    """An estimate that is too high costs the client no more than was set aside."""
    assert provable(tokens, PRICE, hold) == (expected or (MAX_QUANTITY, MAX_QUANTITY * 2))


def test_without_a_price_a_checkpoint_has_no_charge() -> None:
    """Core computes the charge from the tokens in any case."""
    assert provable(10, None, 100) == (10, 0)


def test_a_frame_is_quarantined_once(tmp_path: Path) -> None:
    """A resend after a broken stream does not fill the file with the same frame."""
    counters = Counters()
    quarantine = Quarantine(tmp_path / "quarantine", counters)
    entry = QuarantineEntry(Origin.CORE, 17, EMPTY)
    for sequence in (4, 4, 5):
        quarantine.add(1, [(sequence, entry)])
    assert list(read_quarantine(tmp_path / "quarantine")) == [entry, entry]
    assert counters.quarantined == 2


def test_the_quarantine_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its size frames are counted only."""
    monkeypatch.setattr(quarantine_module, "MAX_QUARANTINE_BYTES", 1_100)
    counters = Counters()
    quarantine = Quarantine(tmp_path / "quarantine", counters)
    for sequence in range(5):
        quarantine.add(1, [(sequence, QuarantineEntry(Origin.RECOVERY, 5, EMPTY))])
    assert (tmp_path / "quarantine").stat().st_size == 1_040
    assert (counters.quarantined, counters.not_kept) == (5, 3)


def test_a_disk_that_refuses_a_copy_holds_nothing_up(tmp_path: Path) -> None:
    """What could not be kept is counted: shipping, which makes room, must go on."""
    counters = Counters()
    quarantine = Quarantine(tmp_path / "missing" / "quarantine", counters)
    quarantine.add(1, [(1, QuarantineEntry(Origin.CORE, 1, EMPTY))])
    assert (counters.quarantined, counters.not_kept) == (1, 1)


def test_a_torn_entry_does_not_shift_the_next_ones(tmp_path: Path) -> None:
    """A disk that filled up in the middle of an entry costs that entry only."""
    path = tmp_path / "quarantine"
    path.write_bytes(b"half an entry")
    entry = QuarantineEntry(Origin.CORE, 1, EMPTY)
    Quarantine(path, Counters()).add(1, [(1, entry)])
    assert list(read_quarantine(path)) == [entry]

"""A request is found in the spools and quarantines of this machine, and what that means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.doctor import spools
from edge.incident.meaning import is_known, meanings
from edge.incident.spools import frames_of, quarantined
from edge.metering.counters import Counters
from edge.metering.quarantine import Origin, Quarantine, QuarantineEntry
from edge.metering.slot import Slot
from edge.metering.spool import Spool
from kit.clock import Clock, SystemClock
from kit.doctor import Surroundings, Verdict
from kit.ids import new_request_id
from kit.settings import ProcessSettings
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from tests.unit.edge.metering.samples import SMALL, DirectLine, an_intent, an_outcome

_NOTHING: dict[str, Any] = {"standing": "unheard", "usage": None, "alarms": [], "claim": None}


@pytest.fixture
async def slot(tmp_path: Path) -> AsyncIterator[Slot]:
    """A slot that this process owns."""
    taken = Slot.take(tmp_path, 1)
    assert taken is not None
    yield taken
    taken.release()


@pytest.fixture
async def spool(slot: Slot) -> AsyncIterator[Spool]:
    """A live spool in the slot."""
    made = Spool(
        slot.epoch_folder(3), 1, 3, reporter=DirectLine(), counters=Counters(), limits=SMALL
    )
    yield made
    await made.close()


async def test_a_running_request_is_found_with_its_intent(spool: Spool, tmp_path: Path) -> None:
    """Who pays for which model since when; its owner lives."""
    intent = an_intent()
    spool.begin(intent)
    (frame,) = frames_of(tmp_path, intent.request_id)
    assert (frame.edge_id, frame.epoch, frame.kind, frame.owned) == (1, 3, "intent", True)
    assert frame.details["hold_nanos"] == 10**9
    assert frame.details["workspace_id"] == "ws_" + (b"w" * 16).hex()
    (first, second) = meanings(_NOTHING, [frame], [])
    assert first == "Core has never heard of it."
    assert second.startswith("It is running")


async def test_an_outcome_that_core_does_not_have_yet_is_told(spool: Spool, tmp_path: Path) -> None:
    """It will be recorded."""
    intent = an_intent()
    ticket = spool.begin(intent)
    await spool.finish(ticket, an_outcome(intent))
    frames = frames_of(tmp_path, intent.request_id)
    assert [frame.kind for frame in frames] == ["intent", "outcome"]
    assert "when core takes it" in meanings(_NOTHING, frames, [])[-1]


async def test_a_request_of_a_dead_edge_is_told(
    spool: Spool, slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds the slot's lock any more."""
    intent = an_intent()
    spool.begin(intent)
    monkeypatch.setattr("edge.incident.spools.locked_files", set)
    (frame,) = frames_of(tmp_path, intent.request_id)
    assert not frame.owned
    assert "edge died" in meanings(_NOTHING, [frame], [])[-1]


async def test_a_damaged_frame_is_not_believed(spool: Spool, tmp_path: Path) -> None:
    """One flipped bit, and its checksum is wrong."""
    intent = an_intent()
    spool.begin(intent)
    (path,) = (tmp_path / "spool" / "edge-1" / "3").glob("*.seg")
    raw = bytearray(path.read_bytes())
    raw[raw.find(intent.request_id) + 20] ^= 1
    path.write_bytes(raw)
    assert frames_of(tmp_path, intent.request_id) == []


def test_foreign_files_from_a_spool_are_told(slot: Slot, tmp_path: Path) -> None:
    """What an adopter found beside the segments, and kept, is for a person to look at."""
    (slot.folder / "3.kept-1").mkdir()
    (complaint,) = [one for one in spools(_surroundings(tmp_path)) if one.check == "foreign files"]
    assert "edge-1/3.kept-1" in complaint.found
    assert complaint.verdict is Verdict.WARNING


def test_a_frame_in_quarantine_is_found(slot: Slot, tmp_path: Path) -> None:
    """With who said no, and why."""
    request_id = new_request_id()
    frame = bytes(32) + request_id + bytes(512 - 48)
    reason = int(ErrorReason.ERROR_REASON_RECORD_CONFLICT)
    entry = QuarantineEntry(Origin.CORE, reason, frame)
    Quarantine(slot.quarantine, Counters()).add(3, [(7, entry)])
    (found,) = quarantined(tmp_path, request_id)
    assert (found.edge_id, found.origin, found.reason) == (1, "core", "record_conflict")
    assert quarantined(tmp_path, new_request_id()) == []
    assert "quarantine of edge 1" in meanings(_NOTHING, [], [found])[-1]
    (complaint,) = [one for one in spools(_surroundings(tmp_path)) if one.check == "quarantine"]
    assert (complaint.verdict, "edge-1: 1" in complaint.found) == (Verdict.WARNING, True)


def test_a_request_of_nobody_is_not_known(tmp_path: Path) -> None:
    """And what that can mean is said."""
    assert not is_known(_NOTHING, [], [])
    assert meanings(_NOTHING, [], [])[-1].startswith("No spool on this machine has it")
    assert is_known({**_NOTHING, "standing": "archived"}, [], [])


def test_each_fact_of_a_record_has_its_line() -> None:
    """Crash, waiver, failed attempts, alarms, a claim that was given back."""
    usage = {
        "outcome": "edge_crash",
        "waive_reason": "edge_crash",
        "usage_source": "estimated",
        "attempts": [{"error_class": "connect"}, {"error_class": None}],
    }
    known: dict[str, Any] = {
        "standing": "recorded",
        "usage": usage,
        "alarms": [{"kind": "charge_mismatch"}],
        "claim": {"released": True},
    }
    text = " ".join(meanings(known, [], []))
    for part in ("edge died", "waived", "estimate", "1 of 2", "core's counts", "given back"):
        assert part in text


class _Later:
    """A clock that is ahead, so that what was just written looks old."""

    def now_ns(self) -> int:
        """Return a time two minutes ahead."""
        return SystemClock().now_ns() + 120 * 10**9

    def monotonic(self) -> float:
        """Return the real one."""
        return SystemClock().monotonic()


def _surroundings(folder: Path, clock: Clock | None = None) -> Surroundings:
    settings = ProcessSettings(data_dir=folder)
    return Surroundings(settings, {}, {}, clock=clock or SystemClock())


@pytest.mark.parametrize("owned", [True, False])
async def test_the_doctor_tells_a_spool_that_nobody_owns(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, owned: bool
) -> None:
    """And leaves alone what a worker owns, however long it has written nothing."""
    spool.begin(an_intent())
    if not owned:
        monkeypatch.setattr("edge.doctor.locked_files", set)
    (first, *_) = spools(_surroundings(tmp_path, _Later()))
    assert first.verdict is (Verdict.OK if owned else Verdict.PROBLEM)
    assert ("edge-1/3" in first.found) is not owned


async def test_the_doctor_tells_a_spool_that_is_nearly_full(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before requests are refused."""
    monkeypatch.setenv("ONEAPI_SPOOL_MAX_BYTES", str(8 << 20))
    (spool_folder,) = (tmp_path / "spool").glob("edge-1/3")
    with (spool_folder / f"{9:020d}.seg").open("wb") as file:
        file.truncate(7 << 20)
    (first, *_) = spools(_surroundings(tmp_path))
    assert first.verdict is Verdict.WARNING

"""A slot has one owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.metering import slot as slot_module
from edge.metering.errors import SpoolInUse
from edge.metering.slot import Slot, slots_with_spools


def test_a_free_preferred_slot_is_taken(tmp_path: Path) -> None:
    """A worker that is started again gets its old number, and with it its old epochs."""
    slot = Slot.acquire(tmp_path, preferred=7)
    assert (slot.edge_id, slot.folder) == (7, tmp_path / "spool" / "edge-7")
    slot.release()


def test_a_taken_slot_is_passed_over(tmp_path: Path) -> None:
    """Two workers never write under one edge id."""
    first, second = Slot.acquire(tmp_path, preferred=1), Slot.acquire(tmp_path, preferred=1)
    assert (first.edge_id, second.edge_id) == (1, 2)
    assert Slot.take(tmp_path, 1) is None
    first.release()
    again = Slot.take(tmp_path, 1)
    assert again is not None
    again.release()
    second.release()


def test_no_slot_left_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of slots is bounded."""
    monkeypatch.setattr(slot_module, "MAX_SLOTS", 1)
    slot = Slot.acquire(tmp_path)
    with pytest.raises(SpoolInUse):
        Slot.acquire(tmp_path)
    slot.release()


def test_slots_with_something_left_are_found(tmp_path: Path) -> None:
    """Only folders of epochs count; the lock and the quarantine stay."""
    slot = Slot.acquire(tmp_path, preferred=3)
    assert slots_with_spools(tmp_path) == []
    slot.epoch_folder(12).mkdir()
    slot.epoch_folder(9).mkdir()
    slot.quarantine.write_bytes(b"")
    assert slot.epochs() == [9, 12]
    assert slots_with_spools(tmp_path) == [3]
    slot.release()


def test_the_folders_are_private(tmp_path: Path) -> None:
    """Ids of workspaces are nobody else's business on a shared machine."""
    slot = Slot.acquire(tmp_path)
    assert (slot.folder.stat().st_mode & 0o777, slot.folder.parent.stat().st_mode & 0o777) == (
        0o700,
        0o700,
    )
    slot.release()

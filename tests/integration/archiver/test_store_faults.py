"""Stored bytes that change, reads that break, a disk that is full: never a wrong publication."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from archiver.focus import FocusFiles
from archiver.model import Draft
from archiver.runner import StepFailed
from archiver.store.errors import StoreUnavailable
from archiver.store.objects import ObjectStore, Stored
from tests.support.archive_months import World, ids, new_month, world_of

OBJECTS = 16
"""Of three workspaces a usage file, its settlements, two cost files, a manifest; and the ids."""
OF_EACH_KIND = (
    *("usage/*", "settlements/*", "focus/*.parquet", "focus/*.csv.gz", "manifest/*", "ids/*"),
)
"""What an object's name is like."""
CUT = "cut"
FLIP = "flip"


class DamagedStore(ObjectStore):
    """A store whose disk flips a bit of one object before it is read back, or that cuts a read.

    The first object of a kind: which one is first does not matter.
    """

    def __init__(self, store: ObjectStore, kind_of_name: str, fault: str) -> None:
        super().__init__(store._store, kind=store.kind, root=store._root)
        self._kind_of_name = kind_of_name
        self._fault = fault
        self.was_reached = False

    async def fetch(self, name: str, path: Path) -> Stored:
        """Read a file back."""
        self._break(name)
        return await super().fetch(name, path)

    async def read(self, name: str) -> bytes:
        """Read a manifest back."""
        self._break(name)
        return await super().read(name)

    def _break(self, name: str) -> None:
        if self.was_reached or not fnmatch(name, self._kind_of_name):
            return
        self.was_reached = True
        if self._fault == CUT:
            raise StoreUnavailable(name=name)
        assert self._root is not None
        stored = self._root / name
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)


class FullDisk:
    """Writes no cost file: there is no room for it."""

    def know(self, tiers: Any) -> None:
        """Need no price."""

    def write(
        self, workspace_id: bytes, month: date, usage: list[Path], billing: Any, folder: Path
    ) -> list[Draft]:
        """Begin, and fail as a disk does."""
        del workspace_id, month, usage, billing
        (folder / "costs.parquet").write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "no room")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With a local store and cost files."""
    async with world_of(new_month(), tmp_path / "data") as made:
        made.costs = FocusFiles()
        yield made


@pytest.mark.parametrize("fault", [FLIP, CUT])
@pytest.mark.parametrize("kind_of_name", OF_EACH_KIND)
async def test_what_is_not_read_back_as_it_was_written_is_not_published(
    world: World, tmp_path: Path, kind_of_name: str, fault: str
) -> None:
    """Whichever kind of object; the next round writes it anew, and everything can be proved."""
    whole, damaged = world.store, DamagedStore(world.store, kind_of_name, fault)
    world.store = damaged
    with pytest.raises(StepFailed):
        await world.run()
    assert damaged.was_reached
    assert world.month.published_at is None
    world.store = whole
    await world.run(world.archiver("another"))
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    assert len(await whole.names("")) == OBJECTS


async def test_a_full_disk_stops_the_month_and_nothing_else(world: World, tmp_path: Path) -> None:
    """What was begun is swept away; with room again the month is whole."""
    world.costs = FullDisk()
    with pytest.raises(StepFailed):
        await world.run()
    assert world.month.frozen
    assert world.month.published_at is None
    world.costs = FocusFiles()
    await world.run()
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")

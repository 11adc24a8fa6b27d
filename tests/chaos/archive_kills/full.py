"""A disk that is full: an archiver that can write no more publishes nothing, and goes on later."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from oneapi.partitions.v1.partition_pb2 import Month
from tests.chaos.archive_kills import books
from tests.chaos.archive_kills.points import Phase
from tests.chaos.archive_kills.world import Site, World, world

ROOM = (1_024, 8_192, 16_384)
"""Bytes that a file may have: none is written, some are, all but the largest are."""
STORE_SIZE = "64k"
"""Less than the files of one month."""


def full_disks(
    here: Site, number: int, *, may_mount: bool
) -> dict[str, Callable[[], Iterator[str]]]:
    """Return the checks; `number` is that of the first month that is free."""
    checks = {"no room": lambda: _without_room(here, number)}
    if may_mount:
        checks["full store"] = lambda: _full_store(here, number + 1)
    return checks


def _without_room(here: Site, number: int) -> Iterator[str]:
    """The archiver's own disk takes no file beyond a size; its drafts are there."""
    with world(here, number, number) as found:
        found.enter(Phase.ARCHIVE)
        found.revive()
        found.reporter.start()
        for room in ROOM:
            found.kill_archiver()
            found.file_bytes_max = room
            _fails(found)
        found.kill_archiver()
        found.file_bytes_max = 0
        yield from _goes_on(found)


def _full_store(here: Site, number: int) -> Iterator[str]:
    """The store is a folder on a file system of memory that is too small."""
    with world(replace(here, bucket=None), number, number) as found:
        folder = found.store_folder
        _mount("-t", "tmpfs", "-o", f"size={STORE_SIZE},mode=0700", "tmpfs", at=folder)
        try:
            found.enter(Phase.ARCHIVE)
            found.revive()
            found.reporter.start()
            _fails(found)
            _mount("-o", "remount,size=64m", at=folder)
            yield from _goes_on(found)
        finally:
            found.kill_archiver()
            subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def _fails(found: World) -> None:
    found.revive()
    found.run_archive()
    assert not found.month().HasField("published_at"), "published without room for its files"


def _goes_on(found: World) -> Iterator[str]:
    found.reporter.end()
    found.bring_to(Month.State.STATE_DETACHED, without_late=True)
    yield books.each_record_once(found, found.made)
    yield books.only_what_is_published(found)


def _mount(*arguments: str, at: Path) -> None:
    subprocess.run(["mount", *arguments, str(at)], check=True, capture_output=True)

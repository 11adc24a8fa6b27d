"""Processes are exchanged while clients that never repeat a request go on: nobody notices.

`python -m tests.chaos.rolling` is the long form, with PostgreSQL and every process three times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.chaos.rolling import Running, queued_through_a_kill, right, settled_books, under_load
from tests.support.steady_load import Habit

_HABITS = (
    Habit("kept", clients=3, pause_seconds=0.3),
    Habit("fresh", clients=1, pause_seconds=0.2, keeps=False),
    Habit("claiming", clients=2, pause_seconds=0.2, claims=True),
    Habit("streams", clients=2, model="demo-pace-20", stream=True, pause_seconds=0.3),
    Habit("long streams", clients=2, model="demo-pace-50", stream=True),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run everything on this machine, with two edge workers."""
    running = Running(tmp_path_factory.mktemp("rolling"))
    yield running
    running.up.stop()


@pytest.mark.slow
def test_no_request_fails_while_processes_are_exchanged(service: Running) -> None:
    """All of them are other processes afterwards; every request has its record and its charge."""
    before = {child for _, child in service.up.every_child()}
    row = asyncio.run(under_load(service, "all", _HABITS, ("restart", "all")))
    after = dict(service.up.every_child())
    assert row.story.failures == []
    assert row.story.answered["long streams"] >= 2
    assert not before & {after[part] for part in ("core", "archiver", "edge")}
    queued = asyncio.run(queued_through_a_kill(service, 20))
    assert queued.story.failures == []
    assert queued.story.answered["queued"] == 20
    answered = row.story.request_ids + queued.story.request_ids
    books = settled_books(service, answered)
    assert right(books, len(answered), {"ok": True}), books

"""The short form of `python -m tests.chaos.archive_kills`: one month, two blows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from oneapi.partitions.v1.partition_pb2 import Month
from tests.chaos.archive_kills import books
from tests.chaos.archive_kills.points import Blow, Moment, Phase, Point
from tests.chaos.archive_kills.world import Site, world
from tests.support.postgres import PostgresServer

BLOWS = (
    Point(Phase.ARCHIVE, "PublishMonth", Moment.ANSWERED, Blow.ARCHIVER),
    Point(Phase.ARCHIVE, "DetachMonth", Moment.ANSWERED, Blow.CORE),
)


@pytest.mark.slow
def test_a_month_is_archived_whole_while_processes_die(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """P15: no record lost or doubled, late ones too, and nothing damaged is called verified."""
    here = Site(tmp_path, postgres_server)
    here.prepare()
    with world(here, 0, 1) as found:
        found.trap.arm(BLOWS)
        found.revive()
        found.reporter.start()
        found.enter(Phase.ARCHIVE)
        found.bring_to(Month.State.STATE_DETACHED)
        found.reporter.end()
        found.bring_to(Month.State.STATE_DETACHED, without_late=True)
        assert found.trap.left() == []
        books.each_record_once(found, found.made)
        books.only_what_is_published(found)
        books.flips_are_found(found, random.Random(1))

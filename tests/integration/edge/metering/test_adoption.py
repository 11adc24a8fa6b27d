"""What nobody owns any more is shipped by somebody else, whatever interrupts that."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from edge.metering import metering as metering_module
from edge.metering.adoption import SHIP_SECONDS, Adopter
from edge.metering.counters import Counters
from edge.metering.metering import AWAY_SECONDS, Metering
from edge.metering.records import Outcome
from edge.metering.segment import segment_paths
from edge.metering.slot import Slot
from edge.metering.spool import Spool, SpoolLimits
from kit.log import EventLog
from tests.integration.edge.metering.core_double import (
    CoreDouble,
    RunningCore,
    admission_stub,
    metering_stub,
)
from tests.unit.edge.metering.samples import (
    SMALL,
    DirectLine,
    an_intent,
    eventually,
    serve_requests,
)


class Worker:
    """A live worker in slot 2 that adopts."""

    def __init__(self, data_dir: Path, channel: grpc.aio.Channel, ship_seconds: float) -> None:
        self.counters = Counters()
        self.events = io.StringIO()
        self.slot = Slot.acquire(data_dir, preferred=2)
        self.adopter = Adopter(
            self.slot,
            data_dir,
            metering_stub(channel),
            admission_stub(channel),
            counters=self.counters,
            log=EventLog("test", stream=self.events),
            ship_seconds=ship_seconds,
        )


async def leave_spool(data_dir: Path, edge_id: int, epoch: int) -> list[Outcome]:
    """Leave a spool behind with three outcomes and one request without one."""
    slot = Slot.take(data_dir, edge_id)
    assert slot is not None
    spool = Spool(slot.epoch_folder(epoch), edge_id, epoch, reporter=DirectLine(), limits=SMALL)
    spool.begin(an_intent())
    outcomes = await serve_requests(spool, 3)
    await spool.close()
    slot.release()
    return outcomes


@contextmanager
def working(
    data_dir: Path, channel: grpc.aio.Channel, ship_seconds: float = SHIP_SECONDS
) -> Iterator[Worker]:
    """Have a worker that adopts when told, and then gives up its slot."""
    worker = Worker(data_dir, channel, ship_seconds)
    try:
        yield worker
    finally:
        worker.slot.release()


@pytest.fixture
async def worker(tmp_path: Path, channel: grpc.aio.Channel) -> AsyncIterator[Worker]:
    """Give a worker that adopts when told."""
    with working(tmp_path, channel) as made:
        yield made


@pytest.fixture
async def impatient(tmp_path: Path, channel: grpc.aio.Channel) -> AsyncIterator[Worker]:
    """Give one that soon lets go of what core does not take."""
    with working(tmp_path, channel, 0.8) as made:
        yield made


async def test_a_dead_workers_spool_is_adopted(
    worker: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """Core has all of it under the old epoch, then the epoch is closed and the folder gone."""
    outcomes = await leave_spool(tmp_path, 1, 9)
    await worker.adopter.adopt_all(live_epoch=1)
    assert {outcome.request_id for outcome in outcomes} < set(core.double.records)
    # Four intents and three outcomes behind the head, then the outcome of the crash.
    assert core.double.closed == [(1, 9, 8)]
    assert core.double.acked[1, 9] == 8
    assert not (tmp_path / "spool" / "edge-1" / "9").exists()
    assert (worker.counters.epochs_adopted, worker.counters.crashes_resolved) == (1, 1)


async def test_old_epochs_of_the_own_slot_are_adopted(
    worker: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """A restarted worker cleans up after itself and leaves its live epoch alone."""
    worker.slot.release()
    await leave_spool(tmp_path, 2, 3)
    worker.slot = Slot.acquire(tmp_path, preferred=2)
    (tmp_path / "spool" / "edge-2" / "4").mkdir()
    await worker.adopter.adopt_all(live_epoch=4)
    assert [(edge_id, epoch) for edge_id, epoch, _ in core.double.closed] == [(2, 3)]
    assert worker.slot.epochs() == [4]


async def test_a_living_workers_spool_is_left_alone(
    worker: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """The lock decides: a slow worker is not a dead one."""
    await leave_spool(tmp_path, 1, 9)
    owner = Slot.take(tmp_path, 1)
    assert owner is not None
    await worker.adopter.adopt_all(live_epoch=1)
    assert core.double.batches == []
    owner.release()


async def test_an_interrupted_adoption_is_harmless(
    worker: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """The first adopter dies after core took everything; the second changes nothing there."""
    await leave_spool(tmp_path, 1, 9)
    core.double.faults.holding = asyncio.Event()
    first = asyncio.create_task(worker.adopter.adopt_all(live_epoch=1))
    await eventually(lambda: len(core.double.records) == 4)
    first.cancel()
    await asyncio.wait([first])
    core.double.faults.holding.set()
    await worker.adopter.adopt_all(live_epoch=1)
    assert len(core.double.records) == 4
    assert (core.double.conflicts, core.double.gaps) == (0, [])
    assert core.double.closed == [(1, 9, 8)]


async def test_without_core_the_spool_waits(
    impatient: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """It is let go after a while, said so in the log, and adopted when core is back."""
    await leave_spool(tmp_path, 1, 9)
    await core.stop()
    await impatient.adopter.adopt_all(live_epoch=1)
    assert "spool_not_adopted" in impatient.events.getvalue()
    back = await RunningCore.start(CoreDouble(), core.port)
    while not back.double.closed:
        await impatient.adopter.adopt_all(live_epoch=1)
    assert len(back.double.records) == 4
    await back.stop()


async def test_a_large_spool_may_take_longer_than_the_patience_with_core(
    impatient: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """What counts is that core takes something: else a long outage's spool never ended."""
    slot = Slot.take(tmp_path, 1)
    assert slot is not None
    limits = SpoolLimits(2**24, 8_192)
    spool = Spool(slot.epoch_folder(9), 1, 9, reporter=DirectLine(), limits=limits)
    await asyncio.gather(*(serve_requests(spool, 1) for _ in range(2_500)))
    await spool.close()
    slot.release()
    core.double.faults.pause_seconds = 0.3
    await impatient.adopter.adopt_all(live_epoch=1)
    assert core.double.closed == [(1, 9, 5_000)]
    assert len(core.double.batches) == 5


async def test_a_damaged_spool_is_said_so(
    worker: Worker, tmp_path: Path, core: RunningCore
) -> None:
    """In the log and the counters; what is whole is shipped all the same."""
    await leave_spool(tmp_path, 1, 9)
    path = segment_paths(tmp_path / "spool" / "edge-1" / "9")[0]
    with path.open("r+b") as file:
        file.seek(2 * 512 + 99)
        file.write(b"\xff")
        file.seek(0)
        file.write(b"\xff")
    await worker.adopter.adopt_all(live_epoch=1)
    events = [json.loads(line) for line in worker.events.getvalue().splitlines()]
    names = [event["event"] for event in events]
    assert names == ["spool_damaged", "frames_lost", "spool_adopted"]
    assert events[1]["frames"] == worker.counters.lost == 1
    assert worker.counters.quarantined == 2


def metering_of(slot: Slot, data_dir: Path, channel: grpc.aio.Channel) -> Metering:
    """Return the metering of a worker as its process composes it."""
    return Metering(
        slot,
        6,
        data_dir=data_dir,
        metering=metering_stub(channel),
        admission=admission_stub(channel),
        log=EventLog("test", stream=io.StringIO()),
    )


async def test_a_worker_that_stops_closes_its_epoch(
    tmp_path: Path, core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """Its leases are freed at once, and nothing is left for an adopter."""
    await leave_spool(tmp_path, 3, 2)
    metering = metering_of(Slot.acquire(tmp_path, preferred=1), tmp_path, channel)
    metering.start()
    await serve_requests(metering.spool, 3)
    await eventually(lambda: (3, 2, 8) in core.double.closed)
    await metering.stop()
    assert (1, 6, 6) in core.double.closed
    assert core.double.acked[1, 6] == 6
    slot = Slot.take(tmp_path, 1)
    assert slot is not None
    assert slot.epochs() == []
    slot.release()


async def test_a_worker_that_stops_with_a_running_request_leaves_it(
    tmp_path: Path, core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """The epoch stays open for an adopter, who resolves the request."""
    metering = metering_of(Slot.acquire(tmp_path, preferred=1), tmp_path, channel)
    metering.start()
    metering.spool.begin(an_intent())
    await serve_requests(metering.spool, 1)
    await metering.stop()
    assert core.double.closed == []
    with working(tmp_path, channel) as worker:
        await worker.adopter.adopt_all(live_epoch=1)
    assert core.double.closed == [(1, 6, 4)]
    assert len(core.double.records) == 2


async def test_a_worker_whose_core_is_gone_leaves_its_spool_soon(
    tmp_path: Path, core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """Nobody waits for what cannot come; whoever adopts the spool ships it."""
    metering = metering_of(Slot.acquire(tmp_path, preferred=1), tmp_path, channel)
    metering.start()
    await core.stop()
    await serve_requests(metering.spool, 3)
    started = asyncio.get_running_loop().time()
    await metering.stop(drain_seconds=60, in_touch=lambda: False)
    assert asyncio.get_running_loop().time() - started < 10 * AWAY_SECONDS
    back = await RunningCore.start(core.double, core.port)
    with working(tmp_path, channel, 0.8) as worker:
        await eventually_adopted(worker)
    await back.stop()
    assert len(core.double.records) == 3


async def eventually_adopted(worker: Worker) -> None:
    """Let the worker adopt until nothing is left; its channel may still believe core away."""
    while worker.counters.epochs_adopted == 0:
        await worker.adopter.adopt_all(live_epoch=1)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("in_touch", [True, False])
async def test_a_worker_ships_on_as_long_as_core_takes_it_or_is_heard_of(
    tmp_path: Path,
    core: RunningCore,
    channel: grpc.aio.Channel,
    monkeypatch: pytest.MonkeyPatch,
    in_touch: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    """A slow core is not gone: each acknowledgement, and each word of it, renews the patience."""
    monkeypatch.setattr(metering_module, "AWAY_SECONDS", 0.3)
    metering = metering_of(Slot.acquire(tmp_path, preferred=1), tmp_path, channel)
    metering.start()
    core.double.faults.pause_seconds = 1.0 if in_touch else 0.15
    for _ in range(1 if in_touch else 5):
        await serve_requests(metering.spool, 1)
        await asyncio.sleep(0.05)
    await metering.stop(in_touch=lambda: in_touch)
    assert core.double.closed[-1][:2] == (1, 6)

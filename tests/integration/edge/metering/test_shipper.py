"""Every durable outcome reaches core once, whatever happens to the stream."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from edge.metering.direct import DirectReporter
from edge.metering.errors import OutcomeNotDurable
from edge.metering.frames import FRAME_BYTES
from edge.metering.quarantine import Origin, Quarantine, read_quarantine
from edge.metering.segment import segment_paths
from edge.metering.shipper import GATHER_SECONDS, MAX_BATCHES_IN_FLIGHT, Shipper
from edge.metering.spool import Spool, SpoolLimits
from kit.log import EventLog
from kit.rpc.client import open_channel
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from tests.integration.edge.metering.core_double import (
    CoreDouble,
    RunningCore,
    metering_stub,
)
from tests.unit.edge.metering.samples import (
    BrokenDisk,
    DirectLine,
    an_intent,
    an_outcome,
    serve_requests,
)

LIMITS = SpoolLimits(max_bytes=2**21, segment_frames=64)


class World:
    """A spool with its shipper."""

    def __init__(self, folder: Path, channel: grpc.aio.Channel) -> None:
        self.folder = folder / "5"
        self.disk = BrokenDisk()
        self.spool = Spool(
            self.folder, 1, 5, reporter=DirectLine(), limits=LIMITS, sync=self.disk.sync
        )
        self.quarantine = folder / "quarantine"
        self.events = io.StringIO()
        self.shipper = Shipper(
            self.spool,
            metering_stub(channel),
            Quarantine(self.quarantine, self.spool.counters),
            log=EventLog("test", stream=self.events),
            ack_seconds=0.5,
            jitter=lambda: 0.0,
        )
        self._running: asyncio.Task[None] | None = None

    def ship(self) -> None:
        """Start shipping."""
        self._running = asyncio.create_task(self.shipper.run())

    async def stop(self) -> None:
        """Stop shipping and close the spool."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await self.spool.close()


@pytest.fixture
async def world(tmp_path: Path, channel: grpc.aio.Channel) -> AsyncIterator[World]:
    """Give a spool whose shipper was not started."""
    made = World(tmp_path, channel)
    yield made
    await made.stop()


def ids(double: CoreDouble) -> list[bytes]:
    """Return the ids of the records that core has, in the order of arrival."""
    return list(double.records)


async def test_outcomes_reach_core_in_order(world: World, core: RunningCore) -> None:
    """What was finished is at core, each sequence accounted for, and the spool forgets it."""
    world.ship()
    outcomes = await serve_requests(world.spool, 100)
    await world.shipper.drain()
    assert ids(core.double) == [outcome.request_id for outcome in outcomes]
    assert core.double.gaps == []
    assert world.spool.is_settled()
    assert len(segment_paths(world.folder)) == 1
    assert world.spool.counters.shipped == 100


async def test_an_outcome_that_is_not_durable_is_not_shipped(
    world: World, core: RunningCore
) -> None:
    """Core never has a record that the edge may still lose or withdraw."""
    world.ship()
    await serve_requests(world.spool, 1)
    await world.shipper.drain()
    world.disk.broken = True
    await serve_requests(world.spool, 1)
    await asyncio.sleep(0.1)
    assert len(core.double.records) == 1


async def test_a_dropped_acknowledgement_is_made_good_by_a_resend(
    world: World, core: RunningCore
) -> None:
    """The batch comes a second time and counts once."""
    core.double.faults.acks_dropped = 1
    world.ship()
    await serve_requests(world.spool, 3)
    await world.shipper.drain()
    assert len(core.double.batches) > 1
    assert (len(core.double.records), core.double.conflicts, core.double.gaps) == (3, 0, [])


async def test_a_cut_stream_is_opened_again(world: World, core: RunningCore) -> None:
    """After each cut it starts again behind the last acknowledgement, and nothing counts twice."""
    core.double.faults.streams_cut = 3
    world.ship()
    outcomes = await serve_requests(world.spool, 5)
    await world.shipper.drain()
    assert ids(core.double) == [outcome.request_id for outcome in outcomes]
    assert core.double.gaps == []
    assert len(core.double.batches) >= 4


async def test_core_may_be_away(world: World, core: RunningCore) -> None:
    """Requests go on being recorded, and reach core when it is back."""
    await core.stop()
    world.ship()
    await serve_requests(world.spool, 3)
    back = await RunningCore.start(CoreDouble(), core.port)
    await serve_requests(world.spool, 1)
    await world.shipper.drain()
    assert len(back.double.records) == 4
    await back.stop()


async def test_a_rejected_record_goes_to_quarantine(world: World, core: RunningCore) -> None:
    """One bad record does not hold up the others; its frame is kept with core's reason."""
    intent = an_intent()
    core.double.faults.rejected.add(intent.request_id)
    world.ship()
    await world.spool.finish(world.spool.begin(intent), an_outcome(intent))
    await serve_requests(world.spool, 2)
    await world.shipper.drain()
    (entry,) = read_quarantine(world.quarantine)
    assert (entry.origin, entry.number) == (Origin.CORE, ErrorReason.ERROR_REASON_RECORD_INVALID)
    assert intent.request_id in entry.frame
    assert len(core.double.records) == 2
    assert world.spool.counters.rejected == 1


async def test_the_number_of_batches_in_flight_is_bounded(world: World, core: RunningCore) -> None:
    """A core that takes batches without a word is not sent the whole spool."""
    core.double.faults.holding = asyncio.Event()
    # The test is not about the patience with a silent core, which a slow machine would use up.
    world.shipper._ack_seconds = 60.0
    world.ship()
    more = 4
    for _ in range(8 * MAX_BATCHES_IN_FLIGHT):
        await serve_requests(world.spool, 1)
        await asyncio.sleep(GATHER_SECONDS * 1.25)
        more -= len(world.shipper._flights) >= MAX_BATCHES_IN_FLIGHT
        if more == 0:
            break
    assert len(world.shipper._flights) == MAX_BATCHES_IN_FLIGHT
    core.double.faults.holding.set()
    await world.shipper.drain()


async def test_a_frame_that_rotted_is_reported_as_lost(world: World, core: RunningCore) -> None:
    """Core is told of the gap; the frames around it are shipped."""
    outcomes = await serve_requests(world.spool, 3)
    with segment_paths(world.folder)[0].open("r+b") as file:
        file.seek(4 * FRAME_BYTES + 60)
        file.write(b"\xff\xff")
    world.ship()
    await world.shipper.drain()
    assert [batch.lost_frames for batch in core.double.batches] == [1]
    assert ids(core.double) == [outcomes[0].request_id, outcomes[2].request_id]
    assert (world.spool.stats().lost, world.spool.stats().quarantined) == (1, 1)


async def test_large_backlogs_go_in_batches_of_at_most_500(world: World, core: RunningCore) -> None:
    """A spool that filled while core was away is sent in bounded messages."""
    intents = [an_intent() for _ in range(1_200)]
    tickets = [world.spool.begin(intent) for intent in intents]
    pairs = zip(tickets, intents, strict=True)
    await asyncio.gather(*(world.spool.finish(ticket, an_outcome(i)) for ticket, i in pairs))
    world.ship()
    await world.shipper.drain()
    assert max(len(batch.records) for batch in core.double.batches) == 500
    assert len(core.double.records) == 1_200
    assert core.double.gaps == []
    positions = [batch.stream_position for batch in core.double.batches]
    assert positions == list(range(1, len(positions) + 1))


async def test_a_direct_report_counts_nothing_of_the_spool(
    core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """Core has the record and its account of the spool's sequences has not moved."""
    reporter = DirectReporter(metering_stub(channel), 1, 5)
    outcome = an_outcome(an_intent())
    await reporter.report(outcome)
    assert ids(core.double) == [outcome.request_id]
    assert core.double.acked[1, 5] == 0
    assert core.double.gaps == []


async def test_a_direct_report_tries_again(core: RunningCore, channel: grpc.aio.Channel) -> None:
    """A stream that breaks within the time limit costs nothing."""
    core.double.faults.streams_cut = 1
    await DirectReporter(metering_stub(channel), 1, 5).report(an_outcome(an_intent()))
    assert len(core.double.batches) == 2


async def test_a_refused_direct_report_is_not_durable(
    core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """What core will never take must not be shown to the client as complete."""
    intent = an_intent()
    core.double.faults.rejected.add(intent.request_id)
    with pytest.raises(OutcomeNotDurable):
        await DirectReporter(metering_stub(channel), 1, 5).report(an_outcome(intent))


async def test_without_core_a_direct_report_gives_up() -> None:
    """The client is told of a failure rather than kept waiting."""
    with socket.socket() as taken:
        # Bound but not listening: refuses connections, and nobody else gets the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        away = open_channel(f"127.0.0.1:{taken.getsockname()[1]}", "token")
        reporter = DirectReporter(metering_stub(away), 1, 5, report_seconds=0.3)
        with pytest.raises(OutcomeNotDurable):
            await reporter.report(an_outcome(an_intent()))
        await away.close()

"""After an outage of core: how fast the backlog goes while requests keep coming, and what it costs.

The backlog is written by the real spool as an edge writes it; a real shipper sends it to a real
core, which prices and settles it into PostgreSQL.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.metering.errors import SpoolFull
from edge.metering.quarantine import Quarantine
from edge.metering.shipper import Shipper
from edge.metering.spool import DEFAULT_LIMITS, Spool, SpoolLimits
from kit.log import EventLog
from kit.rpc.client import open_channel
from oneapi.metering.v1 import metering_service_pb2_grpc
from tests.chaos.spool.client import Client
from tests.chaos.spool.real_core import RealCore
from tests.chaos.spool.report import Row
from tests.unit.edge.metering.samples import DirectLine

ARRIVALS_PER_SECOND = 100
OUTAGE_SECONDS = 540
TIMES_FASTER = 5
CALLERS = 200
CAP = SpoolLimits(max_bytes=16 * 2**20)
GROWTH_MAX_BYTES = 64 * 2**20
LOOK_SECONDS = 0.2
DRAIN_SECONDS_MAX = 900.0


@dataclass(slots=True)
class Backlog:
    """A spool with what was served while core was away."""

    spool: Spool
    client: Client
    served: int = 0

    async def serve(self, count: int) -> None:
        """Serve so many requests, many at a time."""
        numbers = iter(range(count))
        await asyncio.gather(*(self._call(numbers) for _ in range(CALLERS)))

    async def _call(self, numbers: object) -> None:
        for _ in numbers:  # type: ignore[attr-defined]
            await self.client.finish(self.client.begin())
            self.served += 1

    async def keep_serving(self) -> None:
        """Serve at the rate of arrivals until cancelled."""
        running: set[asyncio.Task[None]] = set()
        start = time.monotonic()
        for number in range(10**9):
            await asyncio.sleep(max(0.0, start + number / ARRIVALS_PER_SECOND - time.monotonic()))
            task = asyncio.create_task(self._call(iter((1,))))
            running.add(task)
            task.add_done_callback(running.discard)


class Peak:
    """The most memory that a process had while somebody looked."""

    def __init__(self, pid: int | str = "self") -> None:
        """Look at a process."""
        self._path = Path(f"/proc/{pid}/statm")
        self.first = self.most = self._bytes()

    def look(self) -> None:
        """Look once."""
        self.most = max(self.most, self._bytes())

    @property
    def grown(self) -> int:
        """Return by how much it grew at most, in bytes."""
        return self.most - self.first

    def _bytes(self) -> int:
        return int(self._path.read_text().split()[1]) * 4_096


def open_backlog(core: RealCore, folder: Path, limits: SpoolLimits) -> tuple[Backlog, int]:
    """Open the spool of a new epoch; needs a running loop."""
    epoch = core.open_epoch()
    spool = Spool(folder / str(epoch), 1, epoch, reporter=DirectLine(), limits=limits)
    return Backlog(spool, Client(spool, core.facts())), epoch


async def attack(
    core: RealCore, folder: Path, *, seconds: int = OUTAGE_SECONDS, core_pid: int | None = None
) -> list[Row]:
    """Write the backlog of an outage of so many seconds, drain it; then fill a spool to its cap."""
    return [await drain(core, folder, seconds, core_pid), await fill(core, folder)]


async def drain(core: RealCore, folder: Path, seconds: int, core_pid: int | None) -> Row:
    """Drain while requests keep coming; the books must be right and the memory bounded."""
    row = Row(f"backlog of {seconds} s at {ARRIVALS_PER_SECOND}/s")
    mine, theirs = Peak(), Peak(core_pid or "self")
    backlog, epoch = open_backlog(core, folder, DEFAULT_LIMITS)
    count = row.tried = seconds * ARRIVALS_PER_SECOND
    await backlog.serve(count)
    mine.look()
    while_away = mine.grown
    arriving = asyncio.create_task(backlog.keep_serving())
    took = await _shipped(core, folder, backlog.spool, (mine.look, theirs.look))
    arriving.cancel()
    await asyncio.wait([arriving])
    rate = round(count / took)
    await backlog.spool.flush()
    await _shipped(core, folder, backlog.spool, ())
    await backlog.spool.close()
    where = f"edge_id = 1 AND epoch = {epoch}"
    records = core.number(f"SELECT count(*) FROM usage_record WHERE {where}")
    row.require(holds=records == backlog.served, otherwise="records and requests differ")
    row.require(holds=not core.wrong_books(), otherwise="the books are wrong")
    wanted = ARRIVALS_PER_SECOND * TIMES_FASTER
    row.require(holds=rate >= wanted, otherwise=f"slower than {wanted} records/s")
    row.require(holds=mine.grown < GROWTH_MAX_BYTES, otherwise="the edge's memory grew")
    row.figures.update(
        {
            "drained/s": rate,
            "times the arrivals": round(rate / ARRIVALS_PER_SECOND, 1),
            "edge MiB while away": _mib(while_away),
            "edge MiB while draining": _mib(mine.grown),
        }
    )
    if core_pid is not None:
        row.figures["core MiB"] = _mib(theirs.grown)
    return row


async def fill(core: RealCore, folder: Path) -> Row:
    """Serve until the size cap refuses; what runs is recorded, and room comes back with core."""
    row = Row(f"a spool of {CAP.max_bytes // 2**20} MiB is full")
    backlog, _ = open_backlog(core, folder, CAP)
    running = [backlog.client.begin() for _ in range(CALLERS)]
    with suppress(SpoolFull):
        while True:
            await backlog.client.finish(backlog.client.begin())
            row.tried += 1
    size = backlog.spool.stats().bytes
    row.require(holds=size <= CAP.max_bytes, otherwise="the cap is exceeded")
    began = time.process_time()
    for _ in range(1_000):
        row.require(holds=not _is_accepted(backlog), otherwise="a request beyond the cap")
    row.figures["refusal us"] = round((time.process_time() - began) * 1_000)
    await asyncio.gather(*(backlog.client.finish(ticket) for ticket in running))
    stats = backlog.spool.stats()
    row.require(holds=stats.durable == stats.appended, otherwise="a running request not recorded")
    await _shipped(core, folder, backlog.spool, ())
    row.require(holds=_is_accepted(backlog), otherwise="no request after core took all")
    row.require(holds=not core.wrong_books(), otherwise="the books are wrong")
    await backlog.spool.close()
    return row


def _is_accepted(backlog: Backlog) -> bool:
    try:
        backlog.client.begin()
    except SpoolFull:
        return False
    return True


async def _shipped(
    core: RealCore, folder: Path, spool: Spool, looks: tuple[Callable[[], None], ...]
) -> float:
    """Ship what is durable now; return how many seconds that took."""
    async with open_channel(core.target, core.facts()["token"]) as channel:
        shipper = Shipper(
            spool,
            metering_service_pb2_grpc.MeteringServiceStub(channel),
            Quarantine(folder / "quarantine", spool.counters),
            log=EventLog("shipper", stream=io.StringIO()),
        )
        target, began = spool.durable, time.monotonic()
        shipping = asyncio.create_task(shipper.run())
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            while spool.acked < target:
                for look in looks:
                    look()
                await asyncio.sleep(LOOK_SECONDS)
        took = time.monotonic() - began
        shipping.cancel()
        await asyncio.wait([shipping])
    return took


def _mib(size: int) -> float:
    return round(size / 2**20, 1)

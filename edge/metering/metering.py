"""Metering of one worker: its spool, the shipper and the adopter, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from edge.metering.adoption import CLOSE_SECONDS, Adopter, close_epoch
from edge.metering.counters import Counters, SpoolStats
from edge.metering.direct import DirectReporter
from edge.metering.left_spool import remove_spool
from edge.metering.quarantine import Quarantine
from edge.metering.shipper import Shipper
from edge.metering.slot import Slot
from edge.metering.spool import DEFAULT_LIMITS, Spool, SpoolLimits
from kit.log import EventLog

if TYPE_CHECKING:
    from oneapi.admission.v1.admission_service_pb2_grpc import AdmissionServiceAsyncStub
    from oneapi.metering.v1.metering_service_pb2_grpc import MeteringServiceAsyncStub

DRAIN_SECONDS: Final = 10.0
"""How long a leaving worker ships, as long as core takes it."""
AWAY_SECONDS: Final = 2.0
"""How long it waits for a core that neither takes anything nor is heard of."""
_LOOK_SECONDS: Final = 0.1


class Metering:
    """Owns the live spool of a slot and what runs beside it."""

    def __init__(
        self,
        slot: Slot,
        epoch: int,
        *,
        data_dir: Path,
        metering: MeteringServiceAsyncStub,
        admission: AdmissionServiceAsyncStub,
        log: EventLog,
        limits: SpoolLimits = DEFAULT_LIMITS,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the epoch's spool in the slot; needs a running loop.

        Call `on_failed` once, when its disk failed.

        Raises:
            SpoolInUse: the epoch has had a spool.
            SpoolFull: the disk has no room.
            OSError: the disk failed.
        """
        self.counters = Counters()
        self._slot = slot
        self._epoch = epoch
        self._admission = admission
        self._log = log
        self.spool = Spool(
            slot.epoch_folder(epoch),
            slot.edge_id,
            epoch,
            reporter=DirectReporter(metering, slot.edge_id, epoch),
            counters=self.counters,
            limits=limits,
        )
        self.spool.on_failed = on_failed
        quarantine = Quarantine(slot.quarantine, self.counters)
        self._shipper = Shipper(self.spool, metering, quarantine, log=log)
        self._adopter = Adopter(
            slot, data_dir, metering, admission, counters=self.counters, log=log
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start shipping and adopting."""
        self._tasks = [
            asyncio.create_task(self._shipper.run()),
            asyncio.create_task(self._adopter.run(self._epoch)),
        ]

    def stats(self) -> SpoolStats:
        """Return the spool's figures for metrics."""
        return self.spool.stats()

    async def stop(
        self,
        drain_seconds: float = DRAIN_SECONDS,
        *,
        in_touch: Callable[[], bool] = lambda: True,
    ) -> None:
        """Ship what there is, close the epoch if core has all of it, and release the slot.

        Requests must have finished before; what stays open, or what core does not take, is left to
        an adopter: soon, where core is not `in_touch`.
        """
        self.spool.refuse_requests()
        closed = await self._closed_at_core(drain_seconds, in_touch)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.spool.close()
        if closed:
            remove_spool(self._slot.epoch_folder(self._epoch))
        self._slot.release()

    async def _closed_at_core(self, drain_seconds: float, in_touch: Callable[[], bool]) -> bool:
        """Return whether core has the whole epoch and has closed it."""
        try:
            async with asyncio.timeout(drain_seconds):
                if await self.spool.flush():
                    await self._drain(in_touch)
            if not self.spool.is_settled():
                return False
            last = self.spool.stats().appended
            seconds = CLOSE_SECONDS if in_touch() else AWAY_SECONDS
            edge_id = self._slot.edge_id
            await close_epoch(self._admission, edge_id, self._epoch, last, seconds)
        except (TimeoutError, grpc.RpcError) as error:
            self._log.fault("spool_left_behind", error, edge_id=self._slot.edge_id)
            return False
        return True

    async def _drain(self, in_touch: Callable[[], bool]) -> None:
        """Return when core has all that is durable.

        Raises:
            TimeoutError: it has taken nothing for two seconds, and nothing is heard of it.
        """
        loop = asyncio.get_running_loop()
        draining = asyncio.create_task(self._shipper.drain())
        acked, moved_at = self.spool.acked, loop.time()
        try:
            while not draining.done():
                await asyncio.wait({draining}, timeout=_LOOK_SECONDS)
                if self.spool.acked > acked or in_touch():
                    acked, moved_at = self.spool.acked, loop.time()
                elif loop.time() - moved_at >= AWAY_SECONDS:
                    raise TimeoutError
        finally:
            draining.cancel()

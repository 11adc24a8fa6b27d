"""Adopts spools that nobody owns: ships them under their old epoch, then closes the epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.metering.counters import Counters
from edge.metering.left_spool import LeftSpool
from edge.metering.quarantine import Quarantine
from edge.metering.shipper import Shipper
from edge.metering.slot import Slot, slots_with_spools
from kit.log import EventLog
from oneapi.admission.v1.admission_service_pb2 import CloseEpochRequest

if TYPE_CHECKING:
    from oneapi.admission.v1.admission_service_pb2_grpc import AdmissionServiceAsyncStub
    from oneapi.metering.v1.metering_service_pb2_grpc import MeteringServiceAsyncStub

ADOPT_EVERY_SECONDS: Final = 5.0
SHIP_SECONDS: Final = 60.0
"""A spool of which core takes nothing for so long is let go and tried again later."""
CLOSE_SECONDS: Final = 5.0


class Adopter:
    """Looks for left spools: old epochs of the own slot, and slots whose lock is free."""

    def __init__(
        self,
        slot: Slot,
        data_dir: Path,
        metering: MeteringServiceAsyncStub,
        admission: AdmissionServiceAsyncStub,
        *,
        counters: Counters,
        log: EventLog,
        ship_seconds: float = SHIP_SECONDS,
    ) -> None:
        """Adopt on behalf of the owner of `slot`."""
        self._slot = slot
        self._data_dir = data_dir
        self._metering = metering
        self._admission = admission
        self._counters = counters
        self._log = log
        self._ship_seconds = ship_seconds
        self._quarantines: dict[int, Quarantine] = {}

    async def run(self, live_epoch: int) -> None:
        """Adopt what there is, then look again every 5 s, until cancelled."""
        while True:
            try:
                await self.adopt_all(live_epoch)
            except OSError as error:
                self._log.fault("slots_not_readable", error)
            await asyncio.sleep(ADOPT_EVERY_SECONDS)

    async def adopt_all(self, live_epoch: int) -> None:
        """Adopt every spool that nobody owns, but the live one."""
        await self._adopt_epochs(self._slot, live_epoch)
        for edge_id in slots_with_spools(self._data_dir):
            slot = None if edge_id == self._slot.edge_id else Slot.take(self._data_dir, edge_id)
            if slot is not None:
                try:
                    await self._adopt_epochs(slot, live_epoch=None)
                finally:
                    slot.release()

    async def _adopt_epochs(self, slot: Slot, live_epoch: int | None) -> None:
        for epoch in slot.epochs():
            if epoch == live_epoch:
                continue
            try:
                await self._adopt(slot, epoch)
            except Exception as error:  # noqa: BLE001  one spool must not keep the others waiting
                # The folder stays as it is: the next look tries again.
                self._log.fault("spool_not_adopted", error, edge_id=slot.edge_id, epoch=epoch)

    async def _adopt(self, slot: Slot, epoch: int) -> None:
        folder = slot.epoch_folder(epoch)
        quarantine = self._quarantine(slot)
        left = LeftSpool(
            folder, slot.edge_id, epoch, counters=self._counters, quarantine=quarantine
        )
        try:
            await _in_thread(left.open)
            if left.damaged:
                self._log.event("spool_damaged", edge_id=slot.edge_id, epoch=epoch)
            await self._ship(left, quarantine)
            missing = await close_epoch(self._admission, slot.edge_id, epoch, left.durable)
            await _in_thread(left.remove)
        finally:
            left.close()
        self._counters.epochs_adopted += 1
        self._log.event("spool_adopted", edge_id=slot.edge_id, epoch=epoch, missing_frames=missing)

    def _quarantine(self, slot: Slot) -> Quarantine:
        """Return the one of a slot: it remembers what it keeps when a spool is tried again."""
        new = Quarantine(slot.quarantine, self._counters)
        return self._quarantines.setdefault(slot.edge_id, new)

    async def _ship(self, left: LeftSpool, quarantine: Quarantine) -> None:
        shipper = Shipper(left, self._metering, quarantine, log=self._log)
        running = asyncio.create_task(shipper.run())
        try:
            await self._drained(shipper, left)
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def _drained(self, shipper: Shipper, left: LeftSpool) -> None:
        """Return when core has everything, however long that takes while it takes something.

        Raises:
            TimeoutError: core took nothing for too long.
        """
        while True:
            before = left.acked
            try:
                async with asyncio.timeout(self._ship_seconds):
                    return await shipper.drain()
            except TimeoutError:
                if left.acked == before:
                    raise


async def _in_thread(work: Callable[[], None]) -> None:
    """Run file work in a thread; if cancelled, wait for its end before the files are closed."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def close_epoch(
    admission: AdmissionServiceAsyncStub,
    edge_id: int,
    epoch: int,
    last_sequence: int,
    seconds: float = CLOSE_SECONDS,
) -> int:
    """Tell core that an epoch was shipped whole; return how many frames core never saw.

    Raises:
        grpc.RpcError: core did not take it.
    """
    request = CloseEpochRequest(edge_id=edge_id, epoch=epoch, last_sequence=last_sequence)
    answer = await admission.CloseEpoch(request, timeout=seconds)
    return answer.missing_frames

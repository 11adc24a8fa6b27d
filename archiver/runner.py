"""Does what is due, month by month: on its own every hour, and when an operator asks for it.

Every step may be repeated, and what core says decides which one is next; so a failure, a restart or
a second archiver costs time and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NoReturn

import grpc

from archiver import steps
from archiver.calendar import parse_month
from archiver.columns import ExportNotUnderstood
from archiver.core_link import LeaseLost
from archiver.initial import publish_initial
from archiver.later import delete_replaced, erase_keys, publish_late
from archiver.manifest import ManifestNotValid
from archiver.metrics import ArchiverMetrics
from archiver.model import Step, Tell
from archiver.parts import Workshop
from archiver.retention import drop_checked, expire
from kit.clock import Clock, now
from kit.log import EventLog
from kit.reasons import DomainError, InvalidState, Unavailable
from kit.rpc.status import domain_error_of
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.partitions.v1.partition_pb2 import Month

ROUND_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 60.0
RENEWALS: Final = 3
"""How often a lease is renewed while it lasts."""
FAULTS: Final = (DomainError, ExportNotUnderstood, ManifestNotValid, OSError, grpc.RpcError)
"""What a step may end with; anything else is a mistake of ours and ends the round."""


class AnotherArchiverWorks(Unavailable):
    """Another archiver has the lease; it does what is due."""


class StepFailed(InvalidState):
    """A step of a month failed and will be repeated; the status says which and how."""


class StepHadNoEffect(InvalidState):
    """A step was done, and core says of the month what it said before."""


class Runner:
    """Runs the archive's steps, one round at a time."""

    def __init__(
        self, shop: Workshop, clock: Clock, log: EventLog, metrics: ArchiverMetrics
    ) -> None:
        """Work with the shop's parts."""
        self._shop = shop
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._round = asyncio.Lock()
        self._errors: dict[str, str] = {}
        self._due_since: dict[tuple[str, str], datetime] = {}
        """Of each month and step that is due; looked at whenever somebody asks how late it is."""
        self._sums: dict[str, tuple[int, int, int]] = {}
        """Of each month its revision, and the rows and bytes of that revision's files."""
        self.leading = False
        metrics.overdue.set_function(self._overdue_seconds)

    async def keep_going(self) -> NoReturn:
        """Do what is due for ever, once an hour, sooner after a failure."""
        while True:
            pause = RETRY_SECONDS
            try:
                await self.once("", lambda _: None)
                pause = ROUND_SECONDS
            except AnotherArchiverWorks:
                self._log.event("archive_follows")
            except Exception as fault:  # noqa: BLE001 - a mistake of ours ends a round, not the archive
                self._log.fault("archive_round_failed", fault)
            await asyncio.sleep(pause)

    async def run(self, month: str) -> AsyncIterator[pb.RunArchiveResponse]:
        """Do what is due, for one month or, if empty, for all; yields progress.

        Raises:
            AnotherArchiverWorks: it has the lease.
            StepFailed: a step failed, after all that did not depend on it was done.
            Unavailable: core cannot be asked now.
        """
        told: asyncio.Queue[Step | None] = asyncio.Queue()
        work = asyncio.create_task(self.once(month, told.put_nowait))
        work.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (step := await told.get()) is not None:
                yield pb.RunArchiveResponse(
                    month=step.month,
                    step=step.name,
                    rows_done=step.rows_done,
                    rows_total=step.rows_total,
                    done=step.done,
                )
            await work
        except grpc.RpcError as error:
            raise domain_error_of(error) from None
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError, *FAULTS):
                await work

    async def once(self, only: str, tell: Tell) -> None:
        """Take the lease and do everything that is due.

        Raises:
            AnotherArchiverWorks: it has the lease.
            StepFailed: a step failed, after all that did not depend on it was done.
        """
        async with self._round:
            await self._leading(lambda: self._all_months(only, tell))

    async def erase(self, workspace_id: bytes, key_id: bytes | None) -> dict[str, int]:
        """Take a key's id, or those of all keys, out of a workspace's archived months.

        Returns how many rows of which month had it. To be repeated if it fails.

        Raises:
            AnotherArchiverWorks: it has the lease.
            StepFailed: a month could not be written anew; others may have been.
            Unavailable: core cannot be asked now.
        """
        erased: dict[str, int] = {}

        async def work() -> None:
            for found in await self._shop.core.months():
                if steps.is_in_files(found):
                    records = await self._erase_month(found, workspace_id, key_id)
                    erased.update({found.month: records} if records else {})

        async with self._round:
            try:
                await self._leading(work)
            except grpc.RpcError as error:
                raise domain_error_of(error) from None
        return erased

    async def _erase_month(self, month: Month, workspace_id: bytes, key_id: bytes | None) -> int:
        day = parse_month(month.month)
        try:
            erased = await erase_keys(self._shop, day, workspace_id, key_id, month.revision + 1)
            # An erasure that was cut off before may have left what it replaced.
            await delete_replaced(self._shop, day, workspace_id)
        except (ExportNotUnderstood, ManifestNotValid, OSError) as fault:
            self._log.fault("archive_erasure_failed", fault, month=month.month)
            raise StepFailed from None
        return erased

    async def status(self) -> pb.GetArchiveStatusResponse:
        """Say how far everything is.

        Raises:
            Unavailable: core cannot be asked now.
        """
        try:
            return await self._status()
        except grpc.RpcError as error:
            raise domain_error_of(error) from None

    async def _status(self) -> pb.GetArchiveStatusResponse:
        answer = pb.GetArchiveStatusResponse(store=self._shop.store.kind, leading=self.leading)
        for month in await self._shop.core.months():
            records, size_bytes = await self._sums_of(month)
            entry = answer.months.add(
                month=month.month,
                state=steps.state_word(month),
                records=records,
                size_bytes=size_bytes,
                last_error=self._errors.get(month.month, ""),
            )
            due_at = steps.due_at(month, now(self._clock))
            if due_at is not None:
                entry.due_at.FromDatetime(due_at)
        return answer

    async def _sums_of(self, month: Month) -> tuple[int, int]:
        """Return the rows and bytes of a month's newest files, which one revision never changes."""
        if not month.revision or month.state == Month.STATE_EXPIRED:
            return 0, 0
        known = self._sums.get(month.month)
        if known is None or known[0] != month.revision:
            files = await self._shop.core.files(parse_month(month.month), newest_only=True)
            records = sum(file.rows for file in files if file.kind == file.KIND_USAGE_PARQUET)
            known = month.revision, records, sum(file.size_bytes for file in files)
            self._sums[month.month] = known
        return known[1:]

    async def _leading(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Work while the lease is ours; whoever loses it stops."""
        lifetime = 0.0
        try:
            lifetime = await self._shop.core.take_lease()
        finally:
            self._set_leading(leading=lifetime > 0)
        if not lifetime:
            raise AnotherArchiverWorks
        working = asyncio.create_task(work())
        renewing = asyncio.create_task(self._renew(lifetime / RENEWALS))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await renewing
            else:
                await working
        except LeaseLost:
            self._set_leading(leading=False)
            raise
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, pause_seconds: float) -> None:
        while True:
            await asyncio.sleep(pause_seconds)
            # Core may be away for a while: a lease that nobody took is still ours.
            with suppress(grpc.RpcError):
                await self._shop.core.check_lease()

    async def _all_months(self, only: str, tell: Tell) -> None:
        failed = blocked = False
        months = await self._shop.core.months()
        self._count(months)
        for place, month in enumerate(months):
            if only and month.month != only:
                continue
            if not only and steps.may_wait(month, months[place + 1 :]):
                continue
            is_whole = await self._one_month(month, tell, blocked=blocked)
            failed = failed or not is_whole
            blocked = blocked or (not is_whole and not month.HasField("published_at"))
        self._count(await self._shop.core.months())
        if failed:
            raise StepFailed

    async def _one_month(self, month: Month, tell: Tell, *, blocked: bool) -> bool:
        """Take a month as far as it may go; say whether nothing failed."""
        current: Month | None = month
        while current is not None:
            step = steps.due(current, now(self._clock))
            if step is None or (blocked and step in steps.IN_ORDER):
                return True
            if not await self._step(current, step, tell):
                return False
            before, current = current, await self._again(current.month)
            if current is not None and current == before:
                # Core did not see what we did; going on would never end.
                self._failed(month, step, StepHadNoEffect())
                return False
        return True

    async def _step(self, month: Month, step: str, tell: Tell) -> bool:
        began = self._clock.monotonic()
        tell(Step(month.month, step))
        try:
            await self._do(month, step, tell)
        except FAULTS as fault:
            self._failed(month, step, fault)
            return False
        self._errors.pop(month.month, None)
        self._metrics.steps.labels(step).observe(self._clock.monotonic() - began)
        self._log.event("archive_step_done", month=month.month, step=step)
        tell(Step(month.month, step, done=True))
        return True

    def _failed(self, month: Month, step: str, fault: Exception) -> None:
        self._errors[month.month] = type(fault).__name__
        self._metrics.failures.labels(step).inc()
        self._log.fault("archive_step_failed", fault, month=month.month, step=step)
        if isinstance(fault, LeaseLost):
            self._set_leading(leading=False)

    def _do(self, month: Month, step: str, tell: Tell) -> Awaitable[object]:
        day, core = parse_month(month.month), self._shop.core
        if step == steps.FREEZE:
            return core.freeze(day)
        if step == steps.EXPORT:
            return publish_initial(self._shop, day, self._counting(tell))
        if step == steps.LATE:
            return publish_late(self._shop, day, month.revision + 1)
        if step == steps.DETACH:
            return core.detach(day)
        if step == steps.DROP:
            return drop_checked(self._shop, day)
        return expire(self._shop, day, now(self._clock))

    def _counting(self, tell: Tell) -> Tell:
        def told(step: Step) -> None:
            if step.name == steps.EXPORT and step.done:
                self._metrics.rows.inc(step.rows_done)
            tell(step)

        return told

    async def _again(self, name: str) -> Month | None:
        for month in await self._shop.core.months():
            if month.month == name:
                return month
        return None

    def _count(self, months: Sequence[Month]) -> None:
        moment: datetime = now(self._clock)
        states = [steps.state_word(month) for month in months]
        for word in {steps.state_word(Month(state=state)) for state in Month.State.values()}:
            self._metrics.months.labels(word).set(states.count(word))
        due = {
            (month.month, step): at
            for place, month in enumerate(months)
            if not steps.may_wait(month, months[place + 1 :])
            and (step := steps.due(month, moment))
            and (at := steps.due_at(month, moment)) is not None
        }
        # Since when late records wait is written nowhere: since they were first seen here.
        self._due_since = {key: min(at, self._due_since.get(key, at)) for key, at in due.items()}

    def _overdue_seconds(self) -> float:
        moment = now(self._clock)
        late = [(moment - at).total_seconds() for at in self._due_since.values()]
        return max([0.0, *late])

    def _set_leading(self, *, leading: bool) -> None:
        self.leading = leading
        self._metrics.leading.set(int(leading))

"""The steps of a month from hot to gone: each may be repeated, and each is decided by facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from core.audit import Act
from core.db.database import Pool, Transaction
from core.partitions import file_store, month_store, totals
from core.partitions.errors import ArchiveDiffers, MonthNotReady
from core.partitions.lease import hold_fence
from core.partitions.model import (
    DROP_AFTER,
    File,
    MonthFacts,
    State,
    month_name,
)
from kit.charge import DIMENSIONS
from kit.reasons import NotFound

EXPIRED: Final = 1
ERASED: Final = 2


async def read_month(tx: Transaction, month: date) -> MonthFacts:
    """Read the facts of a month.

    Raises:
        NotFound: it never had a partition.
    """
    for facts in await month_store.read_months(tx):
        if facts.month == month:
            return facts
    raise NotFound(month=month_name(month))


def require(facts: MonthFacts, act: Act, *states: State) -> State:
    """Return the state of a month if it is one of these.

    Raises:
        MonthNotReady: it is another one.
    """
    state = facts.state(act.now)
    if state not in states:
        raise MonthNotReady(month=month_name(facts.month), state=state.name.lower())
    return state


async def freeze(pool: Pool, dsn: str, act: Act, fence: int, month: date) -> MonthFacts:
    """Freeze a month: from this commit on its rows stay as they are, and what comes is late.

    Raises:
        MonthNotReady: it is too young, or an older one is still hot.
        Unavailable: writers were in the way; to be repeated.
    """
    async with pool.transaction("system") as tx:
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        if facts.state(act.now) >= State.FROZEN:
            return facts
        require(facts, act, State.ELIGIBLE)
        for older in await month_store.read_months(tx):
            if older.month < month and older.state(act.now) < State.FROZEN:
                raise MonthNotReady(month=month_name(month), older=month_name(older.month))
        await month_store.insert_frozen(tx, month, act.now)
        await act.audit(tx, "partitions.FreezeMonth", month_name(month))
        frozen = await read_month(tx, month)
        await month_store.freeze_partition(tx, month)
        await tx.commit()
    await month_store.vacuum_partition(dsn, month)
    return frozen


async def detach(pool: Pool, dsn: str, act: Act, fence: int, month: date) -> MonthFacts:
    """Take a published month's partition out of the hot store, while others read and write.

    Raises:
        MonthNotReady: its files are not published.
        Unavailable: somebody reads, or the step was cut off before; to be repeated.
    """
    async with pool.transaction("system") as tx:
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        state = facts.state(act.now)
    if state >= State.DETACHED:
        return facts
    require(facts, act, State.PUBLISHED)
    if facts.attached:
        await month_store.detach_partition(dsn, month, detaching=facts.detaching)
    async with pool.transaction("system") as tx:
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        if facts.attached:
            raise MonthNotReady(month=month_name(month), state="attached")
        if await month_store.set_step(tx, month, "detached_at", act.now):
            await act.audit(tx, "partitions.DetachMonth", month_name(month))
        facts = await read_month(tx, month)
        await tx.commit()
    return facts


async def drop(pool: Pool, act: Act, fence: int, month: date, files: Sequence[File]) -> MonthFacts:
    """Remove a detached month's rows, a day after publication, if its files are still there.

    Of a month whose rows are gone it removes late records that have been in files for a day.

    Raises:
        MonthNotReady: it is not detached, or was published less than a day ago.
        ArchiveDiffers: the second look at the store found other files than were published.
    """
    async with pool.transaction("system") as tx:
        await totals.take_time(tx)
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        state = require(facts, act, State.DETACHED, State.DROPPED)
        _check_age(facts, act)
        await _check_files(tx, month, files)
        if state == State.DETACHED:
            await month_store.set_step(tx, month, "dropped_at", act.now)
            await month_store.collapse_hours(tx, month, DIMENSIONS)
            await act.audit(tx, "partitions.DropMonth", month_name(month))
        await month_store.lock_late(tx, month)
        facts = await read_month(tx, month)
        await month_store.drop_partition(tx, month)
        await file_store.forget_late(tx, month, act.now - DROP_AFTER)
        await tx.commit()
    return facts


async def record_deletion(
    pool: Pool, act: Act, fence: int, month: date, names: Sequence[str], *, reason: int
) -> MonthFacts:
    """Write down that files were deleted; the rows stay. With the last one the month has expired.

    What came late for an expired month goes too, whether it was in a file or came after the last
    one: no file will be written any more, and nothing of the month is kept any longer.

    Raises:
        MonthNotReady: its rows are still here, or it was published less than two years ago.
        ArchiveDiffers: a file is not of this month, or the newest manifest still names it.
    """
    async with pool.transaction("system") as tx:
        await totals.take_time(tx)
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        if reason == EXPIRED:
            require(facts, act, State.EXPIRING, State.EXPIRED)
        known = await file_store.files_by_name(tx, names)
        for name in names:
            row = known.get(name)
            if row is None or row.month != month or (reason == ERASED and row.current):
                raise ArchiveDiffers(month=month_name(month), fields="names")
        if await file_store.mark_deleted(tx, month, names, reason=reason, now=act.now):
            await act.audit(tx, "partitions.RecordDeletion", month_name(month))
        if reason == EXPIRED and not await file_store.kept_files(tx, month):
            await month_store.set_step(tx, month, "expired_at", act.now)
            facts = await _expire_late(tx, act, facts)
        else:
            facts = await read_month(tx, month)
        await tx.commit()
    return facts


async def _expire_late(tx: Transaction, act: Act, facts: MonthFacts) -> MonthFacts:
    month = facts.month
    await month_store.lock_late(tx, month)
    if await file_store.know_late(tx, month, facts.revision, act.now):
        await act.audit(tx, "partitions.ExpireLate", month_name(month))
    facts = await read_month(tx, month)
    await month_store.act_as_owner(tx)
    await file_store.expire_late(tx, month)
    return replace(facts, late_kept_since=None)


def _check_age(facts: MonthFacts, act: Act) -> None:
    if facts.published_at is None or act.now < facts.published_at + DROP_AFTER:
        raise MonthNotReady(month=month_name(facts.month), state="published")


async def _check_files(tx: Transaction, month: date, files: Sequence[File]) -> None:
    kept = {file.content for file in await file_store.kept_files(tx, month)}
    if kept != {file.content for file in files}:
        raise ArchiveDiffers(month=month_name(month), fields="files")

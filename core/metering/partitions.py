"""Monthly partitions of the usage records, made ahead; there is no default partition.

A record's month is that of its id (UTC), so a partition is a range of ids. Months before the
archive watermark are in the archive only: their partitions are never made again, and records that
still come for them are late.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Final, NoReturn

from core.db.database import Pool, Transaction
from core.db.values import to_uuid
from core.metering.model import add_months
from kit.clock import Clock, now, to_micros
from kit.ids import uuid7_floor
from kit.log import EventLog
from kit.reasons import DomainError

MONTHS_BEHIND: Final = 4
MONTHS_AHEAD: Final = 2
ROUND_SECONDS: Final = 3_600
RETRY_SECONDS: Final = 5
LOCK_TIMEOUT_MS: Final = 500
_EXISTING: Final = """
SELECT c.relname AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = CAST('usage_record' AS regclass)
"""


def partition_name(month: date) -> str:
    """Return the name of a month's partition."""
    return f"usage_record_y{month.year:04d}m{month.month:02d}"


def id_range(month: date) -> tuple[bytes, bytes]:
    """Return the first id of a month and the first one after it."""
    return _floor(month), _floor(add_months(month, 1))


async def read_watermark(tx: Transaction) -> date:
    """Return the first month whose records are not late."""
    row = await tx.one("SELECT month FROM archive_watermark")
    if row is None:
        raise LookupError("archive_watermark")
    watermark: date = row.month
    return watermark


async def read_archived_before(tx: Transaction) -> date | None:
    """Return the first month that is read from the hot store; None while no month is archived.

    Months are published in their order, so all before it are in the archive, whether their rows
    are still here or not.
    """
    row = await tx.one(
        "SELECT max(month) AS month FROM archive_month WHERE published_at IS NOT NULL"
    )
    return None if row is None or row.month is None else add_months(row.month, 1)


async def ensure_partitions(tx: Transaction, moment: datetime) -> list[date]:
    """Make the partitions of the months around a moment where they are missing; role partitions.

    Returns the months that it made.
    """
    this = date(moment.year, moment.month, 1)
    months = [add_months(this, count) for count in range(-MONTHS_BEHIND, MONTHS_AHEAD + 1)]
    return [month for month in months if await ensure_month(tx, month)]


async def ensure_month(tx: Transaction, month: date) -> bool:
    """Make the partition of one month; False if it exists or its records are archived.

    Attached rather than made in place: that takes a lock which readers and writers can live with.

    Raises:
        Unavailable: the lock was not to be had in time; to be repeated.
    """
    name = partition_name(month)
    if await _exists(tx, name) or month < await read_watermark(tx):
        return False
    await tx.one("SELECT set_config('lock_timeout', :limit, true)", limit=f"{LOCK_TIMEOUT_MS}ms")
    # Two cores may come here at once: the second finds the first one's partition.
    await tx.run("LOCK TABLE usage_record IN SHARE UPDATE EXCLUSIVE MODE")
    if await _exists(tx, name):
        return False
    first, end = (to_uuid(bound) for bound in id_range(month))
    await tx.run(
        f"CREATE TABLE {name} (LIKE usage_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    await tx.run(
        f"ALTER TABLE usage_record ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')"
    )
    return True


async def make_partitions(pool: Pool, clock: Clock) -> list[date]:
    """Make the partitions around the present; two cores may do so at the same time."""
    async with pool.transaction("partitions") as tx:
        made = await ensure_partitions(tx, now(clock))
        await tx.commit()
    return made


async def keep_partitions(pool: Pool, clock: Clock, log: EventLog) -> NoReturn:
    """Make partitions ahead for ever, once an hour, sooner after a failure."""
    while True:
        pause = ROUND_SECONDS
        try:
            made = await make_partitions(pool, clock)
            log.event("partitions_made", count=len(made))
        except DomainError as error:
            pause = RETRY_SECONDS
            log.fault("partitions_not_made", error)
        await asyncio.sleep(pause)


async def _exists(tx: Transaction, name: str) -> bool:
    return any(row.name == name for row in await tx.all(_EXISTING))


def _floor(month: date) -> bytes:
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return uuid7_floor(to_micros(start) // 1_000)

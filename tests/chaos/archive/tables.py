"""What the tables themselves say, whatever the services do: rows, the ledger, files, disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.db.values import to_uuid
from core.metering.partitions import id_range
from tests.chaos.archive.fingerprint import FINGERPRINT, Fingerprint
from tests.support.metering_world import MeteringWorld

_HELD = """
SELECT count(*), coalesce(sum(charge_nanos), 0),
       coalesce(sum(hashint8extended(charge_nanos, uuid_hash_extended(id, 0))), 0)
  FROM usage_record WHERE id >= :first AND id < :end
"""
_SETTLED = """
SELECT usage_month, sum(record_count) AS records, sum(amount) AS nanos
  FROM ledger_txn AS t CROSS JOIN LATERAL (
       SELECT coalesce(sum(amount), 0) AS amount FROM ledger_entry
        WHERE txn_id = t.id AND account = 'rev.usage') AS e
 WHERE usage_month IS NOT NULL GROUP BY usage_month
"""
_FILES = """
SELECT month, name, CASE WHEN kind = 1 THEN records ELSE 0 END AS records, deleted_at IS NOT NULL
  FROM archive_file WHERE current OR deleted_at IS NOT NULL
"""
_SIZES = """
SELECT CAST(relname AS text), pg_total_relation_size(oid) FROM pg_class
 WHERE relname LIKE 'usage_record_y%' AND relkind = 'r'
"""


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of a month: how many, their charges, and PostgreSQL's hashes of id and charge summed.

    Quick enough for every moment; only numbers of the same server can be compared.
    """

    rows: int
    nanos: int
    hashes: int


@dataclass(slots=True)
class Kept:
    """A month's files as core has them on record."""

    names: set[str]
    """Of those that were not deleted."""
    rows: int
    """Of the usage files among them."""
    deleted: int


class Tables:
    """Reads the tables of a world."""

    def __init__(self, world: MeteringWorld) -> None:
        """Read through the world's pool for jobs."""
        self._world = world

    async def fingerprint(self, month: date) -> Fingerprint:
        """Return that of a month's rows in the hot store."""
        ((rows, nanos, high, low),) = await self._world.rows(FINGERPRINT, **_range(month))
        return Fingerprint(_whole(rows), _whole(nanos), _whole(high), _whole(low))

    async def held_and_settled(
        self, months: Iterable[date]
    ) -> tuple[dict[date, Held], dict[date, tuple[int, int]]]:
        """Return at one moment the rows of months, and of all months what the ledger charged.

        The latter is how many records were settled, and for how many nano-dollars.
        """
        held = {}
        jobs = self._world.money.database.jobs
        async with jobs.transaction("system", snapshot=True) as tx:
            for month in months:
                (row,) = await tx.all(_HELD, **_range(month))
                held[month] = Held(*map(_whole, row))
            settled = await tx.all(_SETTLED)
        return held, {row.usage_month: (_whole(row.records), _whole(row.nanos)) for row in settled}

    async def files(self) -> dict[date, Kept]:
        """Return what core has on record of files, by month."""
        found: dict[date, Kept] = defaultdict(lambda: Kept(set(), 0, 0))
        for month, name, rows, deleted in await self._world.rows(_FILES):
            kept = found[_day(month)]
            if deleted:
                kept.deleted += 1
            else:
                kept.names.add(str(name))
                kept.rows += _whole(rows)
        return found

    async def sizes(self) -> dict[str, int]:
        """Return how many bytes each table of usage takes, with its indexes."""
        return {str(name): _whole(size) for name, size in await self._world.rows(_SIZES)}


def _range(month: date) -> dict[str, Any]:
    first, end = id_range(month)
    return {"first": to_uuid(first), "end": to_uuid(end)}


def _whole(number: object) -> int:
    # Sums are of PostgreSQL's numeric type, exact.
    return int(str(number))


def _day(value: object) -> date:
    assert isinstance(value, date)
    return value

"""Spend limits: what keys have spent, and what edges have open to spend for them.

    spent of a period = charges of its usage records + open parts of its slices
    open part of a slice = granted - returned - settled

Slices are to a key's spend limits what leases are to a wallet: totals only grow, records settle
them, an edge gives back what it does not use, and the end of its epoch ends them. A request belongs
to the UTC day of its id, for the edge and here, so that what is given back goes to the period it
was taken from. A limited period's charges are summed up from the rollups when it is first asked
about, and from then on by each settlement. Workspaces' limits: `workspace_spend.py`.
All slices of a key are dealt under its row's lock;
whoever changes several slices locks them first, in the order of their ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from core.keys.model import KeyLimits
from core.ledger.wallets import lock_wallet
from kit.ids import IdSource, unix_ms_of

_EPOCH_DAY: Final = date(1970, 1, 1)
_DAY_MS: Final = 86_400_000
_NO_LIMIT: Final = 2**63 - 1

_SLICE: Final = "id, day, granted_total, returned_total"
# One statement, so that a settlement cannot fall between what it takes and where it puts it.
_STANDING: Final = """
SELECT period::integer, period_start AS start, charged AS amount, false AS mine
  FROM spend_window
 WHERE key_id = :key_id AND (period, period_start) IN ((1, :day), (2, :month), (3, :life))
UNION ALL
SELECT 0, day, granted_total - returned_total - settled_total,
       edge_id = :edge_id AND epoch = :epoch AND day = :day
  FROM spend_slice
 WHERE key_id = :key_id AND renewed_at >= :alive
   AND granted_total > returned_total + settled_total
"""
_BEGIN_PERIOD: Final = """
INSERT INTO spend_window (key_id, period, period_start, charged)
SELECT :key_id, :period, :start, coalesce(sum(charge_nanos), 0)::bigint
  FROM usage_hourly
 WHERE workspace_id = :workspace_id AND key_id = :key_id AND hour >= :since AND hour < :until
ON CONFLICT DO NOTHING
"""
_GROW: Final = f"""
INSERT INTO spend_slice AS s (id, key_id, edge_id, epoch, day, granted_total, returned_total,
                              settled_total, renewed_at)
VALUES (:id, :key_id, :edge_id, :epoch, :day, :amount, 0, 0, :now)
ON CONFLICT (key_id, edge_id, epoch, day) DO UPDATE
   SET granted_total = s.granted_total + excluded.granted_total,
       renewed_at = greatest(s.renewed_at, excluded.renewed_at)
RETURNING {_SLICE}
"""  # noqa: S608 constant columns
# Statements of their own: only what comes after them sees what the locks were waited for.
_LOCK_OF_KEY: Final = (
    "SELECT id FROM spend_slice WHERE key_id = :key_id ORDER BY id FOR NO KEY UPDATE"
)
_LOCK_RETURNED: Final = """
SELECT id FROM spend_slice
 WHERE id = ANY(CAST(:ids AS uuid[])) AND edge_id = :edge_id AND epoch = :epoch
 ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_CHARGED: Final = """
SELECT s.id FROM spend_slice AS s
  JOIN unnest(CAST(:keys AS uuid[]), CAST(:edges AS integer[]), CAST(:epochs AS bigint[]),
              CAST(:days AS date[])) AS part (key_id, edge_id, epoch, day)
    ON s.key_id = part.key_id AND s.edge_id = part.edge_id AND s.epoch = part.epoch
   AND s.day = part.day
 ORDER BY s.id FOR NO KEY UPDATE OF s
"""
_LOCK_OF_EPOCH: Final = """
SELECT id FROM spend_slice WHERE edge_id = :edge_id AND epoch = :epoch ORDER BY id FOR UPDATE
"""
_RECALL: Final = """
UPDATE spend_slice SET recalled_at = :now
 WHERE key_id = :key_id AND recalled_at IS NULL
   AND granted_total > returned_total + settled_total
   AND NOT (edge_id = :edge_id AND epoch = :epoch AND day = :day)
"""
_GIVE_BACK: Final = f"""
UPDATE spend_slice AS s
   SET returned_total = greatest(s.returned_total, least(part.total, s.granted_total)),
       renewed_at = greatest(s.renewed_at, :now), recalled_at = NULL
  FROM unnest(CAST(:ids AS uuid[]), CAST(:totals AS bigint[])) AS part (slice_id, total)
 WHERE s.id = part.slice_id AND s.edge_id = :edge_id AND s.epoch = :epoch
RETURNING {_SLICE}
"""  # noqa: S608 constant columns
_SETTLE: Final = """
WITH settled AS (
    UPDATE spend_slice AS s SET settled_total = s.settled_total + part.amount
      FROM unnest(CAST(:keys AS uuid[]), CAST(:edges AS integer[]), CAST(:epochs AS bigint[]),
                  CAST(:days AS date[]), CAST(:amounts AS bigint[]))
           AS part (key_id, edge_id, epoch, day, amount)
     WHERE s.key_id = part.key_id AND s.edge_id = part.edge_id AND s.epoch = part.epoch
       AND s.day = part.day
), together AS (
    UPDATE workspace_spend_window AS w SET charged = w.charged + part.amount
      FROM unnest(CAST(:own_periods AS smallint[]), CAST(:own_starts AS date[]),
                  CAST(:own_amounts AS bigint[])) AS part (period, start, amount)
     WHERE w.workspace_id = :workspace_id AND w.period = part.period
       AND w.period_start = part.start
)
UPDATE spend_window AS w SET charged = w.charged + part.amount
  FROM unnest(CAST(:window_keys AS uuid[]), CAST(:periods AS smallint[]),
              CAST(:starts AS date[]), CAST(:window_amounts AS bigint[]))
       AS part (key_id, period, start, amount)
 WHERE w.key_id = part.key_id AND w.period = part.period AND w.period_start = part.start
"""
_CLOSE_EPOCH: Final = "DELETE FROM spend_slice WHERE edge_id = :edge_id AND epoch = :epoch"
# What somebody is changing is left for the next sweep: it waits for nobody.
_LOCK_SWEPT: Final = """
SELECT id FROM spend_slice
 WHERE renewed_at < :alive
    OR (day < :yesterday AND granted_total <= returned_total + settled_total)
   FOR UPDATE SKIP LOCKED
"""
_SWEEP_SLICES: Final = "DELETE FROM spend_slice WHERE id = ANY(CAST(:ids AS uuid[]))"
_SWEEP_WINDOWS: Final = """
WITH of_workspaces AS (
    DELETE FROM workspace_spend_window
     WHERE (period = 1 AND period_start < :yesterday) OR (period = 2 AND period_start < :month)
)
DELETE FROM spend_window
 WHERE (period = 1 AND period_start < :yesterday) OR (period = 2 AND period_start < :month)
"""


class Period(IntEnum):
    """What a spend limit counts over; the values are stored."""

    DAY = 1
    MONTH = 2
    LIFE = 3


@dataclass(frozen=True, slots=True)
class SpendSlice:
    """What one edge process may spend for one key's requests of a day, in growing totals."""

    slice_id: bytes
    day: int
    granted_total: int
    returned_total: int


@dataclass(frozen=True, slots=True)
class SpendWish:
    """What an edge asks for: nano-dollars, the least that helps it, for requests of a day."""

    key_id: bytes
    edge_id: int
    epoch: int
    day: int
    wanted: int
    needed: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a key's limits is charged and open, as a wish for spend finds it."""

    charged: dict[Period, int]
    open_parts: Sequence[tuple[date, int, bool]]

    @classmethod
    def of_rows(cls, rows: Sequence[Row[Any]]) -> Standing:
        """Return what rows say: with a period what is charged in it, without one a slice."""
        charged = {Period(row.period): int(row.amount) for row in rows if row.period}
        return cls(charged, [(row.start, row.amount, row.mine) for row in rows if not row.period])

    def room(self, limits: Mapping[Period, int], day: date, *, without_others: bool = False) -> int:
        """Return what may still be granted for requests of a day, below zero if too much was.

        `without_others` says what it would be if all other slices were given back whole.
        """
        rooms = [
            limit - self.charged[period] - self._open(period, day, mine_only=without_others)
            for period, limit in limits.items()
        ]
        return min(rooms, default=_NO_LIMIT)

    def _open(self, period: Period, day: date, *, mine_only: bool) -> int:
        return sum(
            amount
            for start, amount, mine in self.open_parts
            if start_of(period, start) == start_of(period, day) and (mine or not mine_only)
        )


@dataclass(slots=True)
class Charges:
    """Charges of new usage records of one workspace, summed up as limits count them."""

    by_slice: Counter[tuple[bytes, int, int, date]] = field(default_factory=Counter)

    def add(self, key_id: bytes, edge_id: int, epoch: int, request_id: bytes, amount: int) -> None:
        """Count one record in."""
        if amount:
            day = date_of(unix_ms_of(request_id) // _DAY_MS)
            self.by_slice[key_id, edge_id, epoch, day] += amount

    def by_window(self) -> Counter[tuple[bytes, Period, date]]:
        """Return the same by key and period: of few days, though of many records."""
        found: Counter[tuple[bytes, Period, date]] = Counter()
        for (key_id, _, _, day), amount in self.by_slice.items():
            for period in Period:
                found[key_id, period, start_of(period, day)] += amount
        return found

    def of_workspace(self) -> Counter[tuple[Period, date]]:
        """Return the same for all keys together."""
        found: Counter[tuple[Period, date]] = Counter()
        for (_, period, start), amount in self.by_window().items():
            found[period, start] += amount
        return found


@lru_cache(maxsize=64)
def date_of(day: int) -> date:
    """Return the date of a day counted since 1970 (UTC)."""
    return _EPOCH_DAY + timedelta(days=day)


def start_of(period: Period, day: date) -> date:
    """Return the first day of the period that a day lies in."""
    starts = {Period.DAY: day, Period.MONTH: day.replace(day=1), Period.LIFE: _EPOCH_DAY}
    return starts[period]


def limited_periods(limits: KeyLimits) -> dict[Period, int]:
    """Return the limit of each period that has one."""
    limit_of = {
        Period.DAY: limits.spend_per_day,
        Period.MONTH: limits.spend_per_month,
        Period.LIFE: limits.spend_total,
    }
    return {period: limit for period, limit in limit_of.items() if limit}


async def standing(
    tx: Transaction,
    wish: SpendWish,
    workspace_id: bytes,
    limits: Mapping[Period, int],
    alive: datetime,
) -> Standing:
    """Read what is charged and open; the key's row is locked. Silent slices count no more.

    Only periods that have a limit are begun: each is summed up under the wallet's lock.
    """
    day = date_of(wish.day)
    found = await _standing(tx, wish, day, alive)
    missing = [period for period in limits if period not in found.charged]
    if missing:
        await _begin_periods(tx, wish.key_id, workspace_id, day, missing)
        found = await _standing(tx, wish, day, alive)
    return found


async def lock_slices_of_key(tx: Transaction, key_id: bytes) -> None:
    """Lock all slices of a key, before the first of several of them is changed."""
    await tx.run(_LOCK_OF_KEY, key_id=to_uuid(key_id))


async def grow(
    tx: Transaction, wish: SpendWish, amount: int, *, ids: IdSource, now: datetime
) -> SpendSlice:
    """Add to the slice of an edge process, which begins with its first addition."""
    row = await tx.one(_GROW, **_place(wish), id=to_uuid(ids.new()), amount=amount, now=now)
    if row is None:
        raise LookupError("an upsert returned no row")
    return _slice_of(row)


async def recall(tx: Transaction, wish: SpendWish, now: datetime) -> int:
    """Ask the free parts of all other slices of the key back; return of how many.

    All slices of the key are locked.
    """
    return await tx.run(_RECALL, **_place(wish), now=now)


async def give_back(
    tx: Transaction, edge_id: int, epoch: int, returned: Sequence[tuple[bytes, int]], now: datetime
) -> list[SpendSlice]:
    """Keep slices alive and take back what was returned on each, all in all."""
    ids = [to_uuid(slice_id) for slice_id, _ in returned]
    await tx.run(_LOCK_RETURNED, edge_id=edge_id, epoch=epoch, ids=ids)
    rows = await tx.all(
        _GIVE_BACK,
        edge_id=edge_id,
        epoch=epoch,
        ids=ids,
        totals=[total for _, total in returned],
        now=now,
    )
    return [_slice_of(row) for row in rows]


async def settle(tx: Transaction, workspace_id: bytes, charges: Charges) -> None:
    """Count the charges of new records of a workspace; its wallet is locked."""
    if not charges.by_slice:
        return
    slices, windows = sorted(charges.by_slice.items()), sorted(charges.by_window().items())
    together = sorted(charges.of_workspace().items())
    places = {
        "keys": [to_uuid(key) for (key, _, _, _), _ in slices],
        "edges": [edge for (_, edge, _, _), _ in slices],
        "epochs": [epoch for (_, _, epoch, _), _ in slices],
        "days": [day for (_, _, _, day), _ in slices],
    }
    await tx.run(_LOCK_CHARGED, **places)
    await tx.run(
        _SETTLE,
        **places,
        amounts=[amount for _, amount in slices],
        window_keys=[to_uuid(key) for (key, _, _), _ in windows],
        periods=[int(period) for (_, period, _), _ in windows],
        starts=[start for (_, _, start), _ in windows],
        window_amounts=[amount for _, amount in windows],
        workspace_id=to_uuid(workspace_id),
        own_periods=[int(period) for (period, _), _ in together],
        own_starts=[start for (_, start), _ in together],
        own_amounts=[amount for _, amount in together],
    )


async def close_epoch(tx: Transaction, edge_id: int, epoch: int) -> int:
    """End the slices of an edge process all of whose records are in: what they charged remains."""
    await tx.run(_LOCK_OF_EPOCH, edge_id=edge_id, epoch=epoch)
    return await tx.run(_CLOSE_EPOCH, edge_id=edge_id, epoch=epoch)


async def sweep(tx: Transaction, alive: datetime, now: datetime) -> None:
    """Forget silent slices, which count no more, and days and months that are over."""
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    swept = await tx.all(_LOCK_SWEPT, alive=alive, yesterday=yesterday)
    await tx.run(_SWEEP_SLICES, ids=[row.id for row in swept])
    await tx.run(_SWEEP_WINDOWS, yesterday=yesterday, month=yesterday.replace(day=1))


async def _standing(tx: Transaction, wish: SpendWish, day: date, alive: datetime) -> Standing:
    rows = await tx.all(
        _STANDING,
        **_place(wish),
        month=start_of(Period.MONTH, day),
        life=start_of(Period.LIFE, day),
        alive=alive,
    )
    return Standing.of_rows(rows)


async def _begin_periods(
    tx: Transaction, key_id: bytes, workspace_id: bytes, day: date, missing: Iterable[Period]
) -> None:
    # Under the wallet's lock, so that no settlement adds to the rollups meanwhile and not here.
    await lock_wallet(tx, workspace_id)
    for period in missing:
        start = start_of(period, day)
        await tx.run(
            _BEGIN_PERIOD,
            key_id=to_uuid(key_id),
            workspace_id=to_uuid(workspace_id),
            period=int(period),
            start=start,
            since=midnight(start),
            until=midnight(end_of(period, day)),
        )


def end_of(period: Period, day: date) -> date:
    """Return the first day after the period that a day lies in."""
    ends = {
        Period.DAY: day + timedelta(days=1),
        Period.MONTH: (day.replace(day=28) + timedelta(days=4)).replace(day=1),
        Period.LIFE: date(9999, 1, 1),
    }
    return ends[period]


def midnight(day: date) -> datetime:
    """Return the moment at which a day (UTC) begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _place(wish: SpendWish) -> dict[str, Any]:
    return {
        "key_id": to_uuid(wish.key_id),
        "edge_id": wish.edge_id,
        "epoch": wish.epoch,
        "day": date_of(wish.day),
    }


def _slice_of(row: Row[Any]) -> SpendSlice:
    day = (row.day - _EPOCH_DAY).days
    return SpendSlice(from_uuid(row.id), day, row.granted_total, row.returned_total)

"""Spend limits of workspaces: the same slices of their keys, counted together.

    spent of a period = charges of the workspace's usage records + open parts of all its slices

An edge knows slices of keys only. A key of a workspace with limits has slices whether or not it has
limits of its own, and what is dealt to it must fit both. All slices of such a workspace are dealt
under the workspace's row lock, which is taken after the key's and before the wallet's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Final

from core.db.database import Transaction
from core.db.values import to_uuid
from core.keys.spend import Period, SpendWish, Standing, date_of, end_of, midnight, start_of
from core.ledger.wallets import lock_wallet

_LIMITS: Final = """
SELECT spend_day_nanos, spend_month_nanos, spend_life_nanos FROM workspace
 WHERE id = :id AND (spend_day_nanos IS NOT NULL OR spend_month_nanos IS NOT NULL
                     OR spend_life_nanos IS NOT NULL)
   FOR NO KEY UPDATE
"""
# One statement, so that a settlement cannot fall between what it takes and where it puts it.
_STANDING: Final = """
SELECT period::integer, period_start AS start, charged AS amount, false AS mine
  FROM workspace_spend_window
 WHERE workspace_id = :workspace_id
   AND (period, period_start) IN ((1, :day), (2, :month), (3, :life))
UNION ALL
SELECT 0, s.day, s.granted_total - s.returned_total - s.settled_total,
       s.key_id = :key_id AND s.edge_id = :edge_id AND s.epoch = :epoch AND s.day = :day
  FROM spend_slice AS s JOIN api_key AS k ON k.id = s.key_id
 WHERE k.workspace_id = :workspace_id AND s.renewed_at >= :alive
   AND s.granted_total > s.returned_total + s.settled_total
"""
_BEGIN_PERIOD: Final = """
INSERT INTO workspace_spend_window (workspace_id, period, period_start, charged)
SELECT :workspace_id, :period, :start, coalesce(sum(charge_nanos), 0)::bigint
  FROM usage_hourly
 WHERE workspace_id = :workspace_id AND hour >= :since AND hour < :until
ON CONFLICT DO NOTHING
"""
_LOCK_SLICES: Final = """
SELECT s.id FROM spend_slice AS s JOIN api_key AS k ON k.id = s.key_id
 WHERE k.workspace_id = :workspace_id ORDER BY s.id FOR NO KEY UPDATE OF s
"""
_RECALL: Final = """
UPDATE spend_slice AS s SET recalled_at = :now
  FROM api_key AS k
 WHERE k.id = s.key_id AND k.workspace_id = :workspace_id AND s.recalled_at IS NULL
   AND s.granted_total > s.returned_total + s.settled_total
   AND NOT (s.key_id = :key_id AND s.edge_id = :edge_id AND s.epoch = :epoch AND s.day = :day)
"""


async def lock_limits(tx: Transaction, workspace_id: bytes) -> dict[Period, int]:
    """Lock a workspace that has spend limits, and return them; one without has none."""
    row = await tx.one(_LIMITS, id=to_uuid(workspace_id))
    if row is None:
        return {}
    limit_of = {
        Period.DAY: row.spend_day_nanos,
        Period.MONTH: row.spend_month_nanos,
        Period.LIFE: row.spend_life_nanos,
    }
    return {period: limit for period, limit in limit_of.items() if limit is not None}


async def standing(
    tx: Transaction,
    wish: SpendWish,
    workspace_id: bytes,
    limits: Mapping[Period, int],
    alive: datetime,
) -> Standing:
    """Read what is charged and open of a locked workspace. Silent slices count no more."""
    day = date_of(wish.day)
    found = await _standing(tx, wish, workspace_id, day, alive)
    missing = [period for period in limits if period not in found.charged]
    if missing:
        await _begin_periods(tx, workspace_id, day, missing)
        found = await _standing(tx, wish, workspace_id, day, alive)
    return found


async def lock_slices(tx: Transaction, workspace_id: bytes) -> None:
    """Lock all slices of a workspace, before the first of several of them is changed."""
    await tx.run(_LOCK_SLICES, workspace_id=to_uuid(workspace_id))


async def recall(tx: Transaction, wish: SpendWish, workspace_id: bytes, now: datetime) -> int:
    """Ask the free parts of all other slices of the workspace back; return of how many.

    All slices of the workspace are locked.
    """
    return await tx.run(
        _RECALL,
        workspace_id=to_uuid(workspace_id),
        key_id=to_uuid(wish.key_id),
        edge_id=wish.edge_id,
        epoch=wish.epoch,
        day=date_of(wish.day),
        now=now,
    )


async def _standing(
    tx: Transaction, wish: SpendWish, workspace_id: bytes, day: date, alive: datetime
) -> Standing:
    rows = await tx.all(
        _STANDING,
        workspace_id=to_uuid(workspace_id),
        key_id=to_uuid(wish.key_id),
        edge_id=wish.edge_id,
        epoch=wish.epoch,
        day=day,
        month=start_of(Period.MONTH, day),
        life=start_of(Period.LIFE, day),
        alive=alive,
    )
    return Standing.of_rows(rows)


async def _begin_periods(
    tx: Transaction, workspace_id: bytes, day: date, missing: Iterable[Period]
) -> None:
    # Under the wallet's lock, so that no settlement adds to the rollups meanwhile and not here.
    await lock_wallet(tx, workspace_id)
    for period in missing:
        start = start_of(period, day)
        await tx.run(
            _BEGIN_PERIOD,
            workspace_id=to_uuid(workspace_id),
            period=int(period),
            start=start,
            since=midnight(start),
            until=midnight(end_of(period, day)),
        )

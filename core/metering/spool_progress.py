"""How far each edge process's spool was taken, and whether frames are missing.

The spool's sequence has no gap, so a loss is seen: a batch that starts beyond what was
acknowledged, frames that an edge knows it lost, or a range that speaks of fewer frames than it has.
Each is alarmed once: a range that was acknowledged before counts no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.db.database import Transaction
from core.metering import store
from core.metering.batches import SpoolRange
from core.metering.store import Alarm
from kit.ids import IdSource


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything up to `acked` was taken; `missing` frames never came."""

    acked: int
    missing: int

    def after(self, spool_range: SpoolRange) -> Progress:
        """Return the progress after a range."""
        if spool_range.is_empty or spool_range.through <= self.acked:
            return self
        gap = max(0, spool_range.first - self.acked - 1)
        missing = self.missing + gap + spool_range.unaccounted + spool_range.lost
        return Progress(spool_range.through, missing)


async def advance(
    tx: Transaction,
    edge_id: int,
    epoch: int,
    ranges: Sequence[SpoolRange],
    *,
    ids: IdSource,
    now: datetime,
) -> bool:
    """Write the progress of ranges whose records are durable; alarm the frames that are missing.

    False if core does not know the epoch: its usage is real all the same, and is alarmed.
    """
    row = await store.lock_epoch(tx, edge_id, epoch)
    if row is None:
        alarm = Alarm("epoch_unknown", edge_id, epoch, "")
        await store.insert_alarms(tx, [alarm], ids, now)
        return False
    before = Progress(row.acked_sequence, row.missing_frames)
    after, alarms = before, []
    for spool_range in ranges:
        following = after.after(spool_range)
        if following.missing > after.missing:
            alarms.append(
                Alarm("spool_gap", edge_id, epoch, "", after.acked + 1, spool_range.first)
            )
        after = following
    if after != before:
        await store.advance_epoch(tx, edge_id, epoch, acked=after.acked, missing=after.missing)
        await store.insert_alarms(tx, alarms, ids, now)
    return True

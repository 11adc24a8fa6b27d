"""Whether an edge process is the one that its slot belongs to now."""

from __future__ import annotations

from typing import Final

from core.db.database import Transaction
from kit.reasons import EpochFenced

# FOR KEY SHARE: while anything is granted to an epoch it cannot be closed (that takes FOR UPDATE),
# but its spool can be acknowledged (FOR NO KEY UPDATE), however many grants overlap.
_CURRENT: Final = """
SELECT 1 FROM edge_epoch AS e
 WHERE edge_id = :edge_id AND epoch = :epoch AND closed_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM edge_epoch AS n
                    WHERE n.edge_id = e.edge_id AND n.epoch > e.epoch)
   FOR KEY SHARE OF e
"""


async def check_current(tx: Transaction, edge_id: int, epoch: int) -> None:
    """Refuse an edge process that is closed or has been replaced.

    Raises:
        EpochFenced
    """
    if await tx.one(_CURRENT, edge_id=edge_id, epoch=epoch) is None:
        raise EpochFenced(edge=edge_id, epoch=epoch)

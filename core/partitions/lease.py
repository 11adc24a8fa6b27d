"""The archive's lease: of two archivers one works, and who was replaced can change nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from core.db.database import Transaction
from core.partitions.errors import ArchiveLeaseLost

LIFETIME: Final = timedelta(seconds=60)

_TAKE: Final = """
UPDATE archive_lease
   SET fence = CASE WHEN holder = :holder THEN fence ELSE fence + 1 END,
       holder = :holder, expires_at = :expires_at
 WHERE holder = :holder OR expires_at <= :now
RETURNING fence
"""
_RELEASE: Final = "UPDATE archive_lease SET expires_at = :now WHERE holder = :holder"


async def acquire(tx: Transaction, holder: str, now: datetime) -> int:
    """Take or renew the lease; return the fencing number, 0 while another archiver has it."""
    row = await tx.one(_TAKE, holder=holder, now=now, expires_at=now + LIFETIME)
    return 0 if row is None else int(row.fence)


async def release(tx: Transaction, holder: str, now: datetime) -> None:
    """Give a lease back before its time; of one that another has taken nothing changes."""
    await tx.run(_RELEASE, holder=holder, now=now)


async def hold_fence(tx: Transaction, fence: int) -> None:
    """Let no other archiver take the lease until this transaction ends.

    An expired lease that nobody took is still good: nobody else can have changed anything.

    Raises:
        ArchiveLeaseLost: another archiver has taken it.
    """
    row = await tx.one("SELECT fence FROM archive_lease FOR SHARE")
    if row is None or row.fence != fence:
        raise ArchiveLeaseLost(fence=fence)

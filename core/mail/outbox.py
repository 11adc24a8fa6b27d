"""All SQL of mail that is to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.audit import Act
from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid

KEPT: Final = timedelta(days=90)
_PUT: Final = """
INSERT INTO mail_outbox (id, workspace_id, template, object_id, created_at, not_before)
VALUES (:id, :workspace, :template, :object, :now, :now)
ON CONFLICT (template, object_id) DO NOTHING
"""
_TAKE: Final = """
UPDATE mail_outbox SET attempts = attempts + 1,
       not_before = CAST(:now AS timestamptz) + least(60 * power(2, attempts), 21600)
                    * CAST('1 second' AS interval)
 WHERE id IN (SELECT id FROM mail_outbox WHERE sent_at IS NULL AND not_before <= :now
               ORDER BY not_before LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id, workspace_id, template, object_id, created_at
"""
_SENT: Final = "UPDATE mail_outbox SET sent_at = :now WHERE id = :id"
_SWEEP: Final = "DELETE FROM mail_outbox WHERE created_at < :before"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Mail that waits to be sent: which template, to whom, about what."""

    mail_id: bytes
    workspace_id: bytes
    template: str
    object_id: bytes
    created_at: datetime


async def put(
    tx: Transaction, act: Act, workspace_id: bytes, template: str, object_id: bytes
) -> None:
    """Write mail down, once for each object and template."""
    await tx.run(
        _PUT,
        id=to_uuid(act.ids.new()),
        workspace=to_uuid(workspace_id),
        template=template,
        object=to_uuid(object_id),
        now=act.now,
    )


async def take(tx: Transaction, now: datetime, limit: int) -> list[Waiting]:
    """Take mail that is due; it is due again after a minute, then later and later."""
    rows = await tx.all(_TAKE, now=now, limit=limit)
    return [
        Waiting(
            mail_id=from_uuid(row.id),
            workspace_id=from_uuid(row.workspace_id),
            template=row.template,
            object_id=from_uuid(row.object_id),
            created_at=row.created_at,
        )
        for row in rows
    ]


async def sent(tx: Transaction, mail_id: bytes, now: datetime) -> None:
    """Write that mail was sent."""
    await tx.run(_SENT, id=to_uuid(mail_id), now=now)


async def sweep(tx: Transaction, now: datetime) -> int:
    """Forget old mail, sent or not; return how much."""
    return await tx.run(_SWEEP, before=now - KEPT)

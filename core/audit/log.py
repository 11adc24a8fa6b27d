"""The audit log: written in the transaction of the change, so neither exists without the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.db.values import to_uuid
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.rpc.identity import current_caller

_APPEND: Final = """
INSERT INTO audit_log (id, occurred_at, actor, action, object_id, workspace_id)
VALUES (:id, :now, :actor, :action, :object_id, :workspace_id)
"""


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes something, and when: passed from the call down to every row it writes."""

    actor: str
    now: datetime
    ids: IdSource

    @classmethod
    def of_call(cls, clock: Clock, ids: IdSource) -> Act:
        """Return the act of the call that runs now, by its caller's identity."""
        return cls(current_caller().name, now(clock), ids)

    async def audit(
        self, tx: Transaction, action: str, object_id: str, workspace_id: bytes | None = None
    ) -> None:
        """Append this act to the audit log."""
        await append(
            tx,
            actor=self.actor,
            action=action,
            object_id=object_id,
            workspace_id=workspace_id,
            now=self.now,
            ids=self.ids,
        )


async def append(
    tx: Transaction,
    *,
    actor: str,
    action: str,
    object_id: str,
    workspace_id: bytes | None,
    now: datetime,
    ids: IdSource,
) -> None:
    """Append one row: `action` such as `keys.RevokeKey`, `object_id` in its outside form."""
    await tx.run(
        _APPEND,
        id=to_uuid(ids.new()),
        now=now,
        actor=actor,
        action=action,
        object_id=object_id,
        workspace_id=None if workspace_id is None else to_uuid(workspace_id),
    )

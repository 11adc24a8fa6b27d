"""All SQL of refunds. Whoever changes one holds its workspace's wallet lock."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.billing.refunds.model import (
    LOOK_AGAIN_AFTER,
    PREFIX,
    TRY_AGAIN_AFTER,
    Refund,
    RefundedPart,
    RefundOrigin,
    RefundReason,
    RefundState,
)
from core.billing.shares import Share
from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.store import optional_uuid
from kit.ids import format_id
from kit.reasons import NotFound

_COLUMNS: Final = (
    "id, workspace_id, payment_id, request_id, origin, state, net_minor, tax_minor, reason,"
    " wanted_net_minor, attempt, last_sent_at, stripe_id, asked_by, decided_by, failure,"
    " created_at, updated_at, checked_at, decided_at"
)
_GET: Final = f"SELECT {_COLUMNS} FROM refund WHERE id = :id"  # noqa: S608 - constant
_OF_STRIPE: Final = f"SELECT {_COLUMNS} FROM refund WHERE stripe_id = :id"  # noqa: S608 - constant
_OF_REQUEST: Final = f"""
SELECT {_COLUMNS} FROM refund WHERE workspace_id = :workspace AND request_id = :request
"""  # noqa: S608 - constant
_INSERT: Final = f"""
INSERT INTO refund ({_COLUMNS})
VALUES (:id, :workspace_id, :payment_id, :request_id, :origin, :state, :net_minor, :tax_minor,
        :reason, :wanted_net, :attempt, :last_sent_at, :stripe_id, :asked_by, :decided_by,
        :failure, :created_at, :updated_at, :checked_at, :decided_at)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constant
_UPDATE: Final = """
UPDATE refund SET state = :state, attempt = :attempt, last_sent_at = :last_sent_at,
       stripe_id = :stripe_id, decided_by = :decided_by, failure = :failure,
       updated_at = :updated_at, checked_at = :checked_at, decided_at = :decided_at
 WHERE id = :id
"""
_OF_PAYMENT: Final = """
SELECT net_minor, tax_minor, stripe_id IS NOT NULL AS is_sent, state IN (1, 7) AS is_asked
  FROM refund
 WHERE payment_id = :payment AND state NOT IN (5, 6)
   AND id IS DISTINCT FROM CAST(:besides AS uuid)
"""
_LIST: Final = f"""
SELECT {_COLUMNS} FROM refund
 WHERE id < :before
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
   AND (CAST(:state AS smallint) = 0 OR state = CAST(:state AS smallint))
 ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constant
# What another core is just taking, or has just taken, is its own. Whoever was looked at comes last
# next time, so that nobody keeps others waiting.
_CLAIM_DUE: Final = f"""
WITH due AS (
    SELECT id FROM refund
     WHERE state = 7 OR (state = 2 AND checked_at <= :try_before)
        OR (state = 3 AND checked_at <= :look_before)
     ORDER BY checked_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE refund SET checked_at = :now FROM due WHERE refund.id = due.id
RETURNING {", ".join(f"refund.{name}" for name in _COLUMNS.split(", "))}
"""  # noqa: S608 - constant


async def insert(tx: Transaction, refund: Refund) -> bool:
    """Write a new refund; False if its request or its object at the provider has one."""
    changing = _changing(refund)
    count = await tx.run(
        _INSERT,
        workspace_id=to_uuid(refund.workspace_id),
        payment_id=to_uuid(refund.payment_id),
        request_id=refund.request_id,
        origin=int(refund.origin),
        net_minor=refund.share.net,
        tax_minor=refund.share.tax,
        reason=int(refund.reason),
        wanted_net=refund.wanted_net,
        asked_by=refund.asked_by,
        created_at=refund.created_at,
        **changing,
    )
    return count == 1


async def update(tx: Transaction, refund: Refund) -> None:
    """Write what may change of a refund."""
    await tx.run(_UPDATE, **_changing(refund))


async def get(tx: Transaction, refund_id: bytes) -> Refund:
    """Read a refund.

    Raises:
        NotFound: there is none.
    """
    row = await tx.one(_GET, id=to_uuid(refund_id))
    if row is None:
        raise NotFound(refund=format_id(PREFIX, refund_id))
    return _refund_of(row)


async def find(tx: Transaction, refund_id: bytes) -> Refund | None:
    """Read a refund, if there is one."""
    row = await tx.one(_GET, id=to_uuid(refund_id))
    return None if row is None else _refund_of(row)


async def of_stripe(tx: Transaction, stripe_id: str) -> Refund | None:
    """Read the refund that is an object of the provider."""
    row = await tx.one(_OF_STRIPE, id=stripe_id)
    return None if row is None else _refund_of(row)


async def of_request(tx: Transaction, workspace_id: bytes, request_id: str) -> Refund | None:
    """Read the refund that a call asked for."""
    row = await tx.one(_OF_REQUEST, workspace=to_uuid(workspace_id), request=request_id)
    return None if row is None else _refund_of(row)


async def parts_of(
    tx: Transaction, payment_id: bytes, *, besides: bytes | None = None
) -> list[RefundedPart]:
    """Read what refunds take of a payment: those that are neither rejected nor failed."""
    rows = await tx.all(_OF_PAYMENT, payment=to_uuid(payment_id), besides=optional_uuid(besides))
    return [
        RefundedPart(Share(row.net_minor, row.tax_minor), row.is_sent, row.is_asked) for row in rows
    ]


async def list_refunds(
    tx: Transaction, workspace_id: bytes | None, state: int, *, before: bytes, limit: int
) -> list[Refund]:
    """Read refunds, newest first, older than `before`; state 0 means any."""
    rows = await tx.all(
        _LIST,
        workspace=optional_uuid(workspace_id),
        state=state,
        before=to_uuid(before),
        limit=limit,
    )
    return [_refund_of(row) for row in rows]


async def claim_due(tx: Transaction, now: datetime, limit: int) -> list[Refund]:
    """Take refunds that wait for us: recalling, not confirmed, or long on their way.

    The rows' locks are held until the commit, and no wallet's is waited for.
    """
    rows = await tx.all(
        _CLAIM_DUE,
        now=now,
        try_before=now - TRY_AGAIN_AFTER,
        look_before=now - LOOK_AGAIN_AFTER,
        limit=limit,
    )
    return [_refund_of(row) for row in rows]


def _changing(refund: Refund) -> dict[str, Any]:
    return {
        "id": to_uuid(refund.refund_id),
        "state": int(refund.state),
        "attempt": refund.attempt,
        "last_sent_at": refund.last_sent_at,
        "stripe_id": refund.stripe_id or None,
        "decided_by": refund.decided_by,
        "failure": refund.failure,
        "updated_at": refund.updated_at,
        "checked_at": refund.checked_at,
        "decided_at": refund.decided_at,
    }


def _refund_of(row: Row[Any]) -> Refund:
    return Refund(
        refund_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        payment_id=row.payment_id.bytes,
        request_id=row.request_id,
        origin=RefundOrigin(row.origin),
        state=RefundState(row.state),
        share=Share(row.net_minor, row.tax_minor),
        reason=RefundReason(row.reason),
        wanted_net=row.wanted_net_minor,
        attempt=row.attempt,
        last_sent_at=row.last_sent_at,
        stripe_id=row.stripe_id or "",
        asked_by=row.asked_by,
        decided_by=row.decided_by,
        failure=row.failure,
        created_at=row.created_at,
        updated_at=row.updated_at,
        checked_at=row.checked_at,
        decided_at=row.decided_at,
    )

"""All SQL of disputes and fraud warnings. Whoever changes one holds the wallet's lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.billing.disputes.model import (
    BARRING,
    LOOK_AGAIN_AFTER,
    PREFIX,
    Dispute,
    DisputeState,
    FraudWarning,
)
from core.billing.shares import NOTHING, Share
from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.store import optional_uuid
from kit.ids import format_id
from kit.reasons import NotFound

_COLUMNS: Final = (
    "id, workspace_id, payment_id, stripe_id, state, reason, currency, amount_minor,"
    " withdrawn_minor, reinstated_minor, up_to_nanos, frozen_nanos, owed_nanos, lost_net_minor,"
    " lost_tax_minor, evidence_due_at, evidence_sent_at, created_at, updated_at, checked_at,"
    " closed_at"
)
_GET: Final = f"SELECT {_COLUMNS} FROM dispute WHERE id = :id"  # noqa: S608 - constant
_OF_STRIPE: Final = f"SELECT {_COLUMNS} FROM dispute WHERE stripe_id = :id"  # noqa: S608 - constant
_INSERT: Final = f"""
INSERT INTO dispute ({_COLUMNS})
VALUES (:id, :workspace_id, :payment_id, :stripe_id, :state, :reason, :currency, :amount,
        :withdrawn, :reinstated, :up_to_nanos, :frozen_nanos, :owed_nanos, :lost_net, :lost_tax,
        :evidence_due_at, :evidence_sent_at, :created_at, :updated_at, :checked_at, :closed_at)
"""  # noqa: S608 - constant
_UPDATE: Final = """
UPDATE dispute SET state = :state, reason = :reason, amount_minor = :amount,
       withdrawn_minor = :withdrawn, reinstated_minor = :reinstated, up_to_nanos = :up_to_nanos,
       frozen_nanos = :frozen_nanos, owed_nanos = :owed_nanos,
       lost_net_minor = :lost_net, lost_tax_minor = :lost_tax,
       evidence_due_at = :evidence_due_at, evidence_sent_at = :evidence_sent_at,
       updated_at = :updated_at, checked_at = :checked_at, closed_at = :closed_at
 WHERE id = :id
"""
_LIST: Final = f"""
SELECT {_COLUMNS} FROM dispute
 WHERE id < :before
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
   AND (NOT CAST(:open_only AS boolean) OR closed_at IS NULL)
 ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constant
_DUE: Final = f"""
SELECT {_COLUMNS} FROM dispute WHERE closed_at IS NULL AND checked_at <= :before
 ORDER BY checked_at LIMIT :limit
"""  # noqa: S608 - constant
# Credit that came back from leases since is free of the grant; what leases hold may still come.
_THIRSTY: Final = """
SELECT d.id FROM dispute AS d
  JOIN payment AS p ON p.id = d.payment_id
  JOIN credit_grant AS g ON g.id = p.grant_id
 WHERE d.closed_at IS NULL AND d.frozen_nanos < d.up_to_nanos
   AND (g.remaining > 0 OR EXISTS (
        SELECT 1 FROM lease AS l JOIN lease_slice AS s ON s.lease_id = l.id
         WHERE l.workspace_id = d.workspace_id AND l.closed_at IS NULL AND s.grant_id = g.id
           AND s.amount > s.used + s.returned))
 ORDER BY d.id LIMIT :limit
"""
_BARS: Final = """
SELECT 1 FROM dispute WHERE payment_id = :payment AND state = ANY(CAST(:states AS smallint[]))
 LIMIT 1
"""
_LOST: Final = """
SELECT CAST(coalesce(sum(lost_net_minor), 0) AS bigint) AS net,
       CAST(coalesce(sum(lost_tax_minor), 0) AS bigint) AS tax
  FROM dispute WHERE payment_id = :payment AND id IS DISTINCT FROM CAST(:besides AS uuid)
"""
_WARNING: Final = "id, stripe_id, workspace_id, payment_id, kind, actionable, created_at"
_INSERT_WARNING: Final = f"""
INSERT INTO fraud_warning ({_WARNING}, updated_at)
VALUES (:id, :stripe_id, :workspace_id, :payment_id, :kind, :actionable, :created_at, :now)
ON CONFLICT (stripe_id) DO UPDATE SET actionable = excluded.actionable,
    updated_at = excluded.updated_at
RETURNING id
"""  # noqa: S608 - constant
_LIST_WARNINGS: Final = f"""
SELECT {_WARNING} FROM fraud_warning
 WHERE id < :before
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
 ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constant


async def insert(tx: Transaction, dispute: Dispute) -> None:
    """Write a new dispute."""
    await tx.run(
        _INSERT,
        workspace_id=to_uuid(dispute.workspace_id),
        payment_id=to_uuid(dispute.payment_id),
        stripe_id=dispute.stripe_id,
        currency=dispute.currency,
        created_at=dispute.created_at,
        **_changing(dispute),
    )


async def update(tx: Transaction, dispute: Dispute) -> None:
    """Write what may change of a dispute."""
    await tx.run(_UPDATE, **_changing(dispute))


async def touch(tx: Transaction, dispute_id: bytes, now: datetime) -> None:
    """Note that a dispute was looked at."""
    await tx.run(
        "UPDATE dispute SET checked_at = :now WHERE id = :id", id=to_uuid(dispute_id), now=now
    )


async def get(tx: Transaction, dispute_id: bytes) -> Dispute:
    """Read a dispute.

    Raises:
        NotFound: there is none.
    """
    row = await tx.one(_GET, id=to_uuid(dispute_id))
    if row is None:
        raise NotFound(dispute=format_id(PREFIX, dispute_id))
    return _dispute_of(row)


async def of_stripe(tx: Transaction, stripe_id: str) -> Dispute | None:
    """Read the dispute that is an object of the provider."""
    row = await tx.one(_OF_STRIPE, id=stripe_id)
    return None if row is None else _dispute_of(row)


async def list_disputes(
    tx: Transaction, workspace_id: bytes | None, *, open_only: bool, before: bytes, limit: int
) -> list[Dispute]:
    """Read disputes, newest first, older than `before`."""
    rows = await tx.all(
        _LIST,
        workspace=optional_uuid(workspace_id),
        open_only=open_only,
        before=to_uuid(before),
        limit=limit,
    )
    return [_dispute_of(row) for row in rows]


async def due(tx: Transaction, now: datetime, limit: int) -> list[Dispute]:
    """Read disputes that are not settled and have not been looked at for long."""
    rows = await tx.all(_DUE, before=now - LOOK_AGAIN_AFTER, limit=limit)
    return [_dispute_of(row) for row in rows]


async def thirsty(tx: Transaction, limit: int) -> Sequence[bytes]:
    """Find disputes for which more credit could be frozen."""
    return [row.id.bytes for row in await tx.all(_THIRSTY, limit=limit)]


async def bars_refunds(tx: Transaction, payment_id: bytes) -> bool:
    """Say whether a dispute of a payment keeps it from being refunded."""
    states = [int(state) for state in BARRING]
    return await tx.one(_BARS, payment=to_uuid(payment_id), states=states) is not None


async def lost_of(tx: Transaction, payment_id: bytes, *, besides: bytes | None = None) -> Share:
    """Read what lost disputes took of a payment."""
    row = await tx.one(_LOST, payment=to_uuid(payment_id), besides=optional_uuid(besides))
    return NOTHING if row is None else Share(row.net, row.tax)


async def keep_warning(tx: Transaction, warning: FraudWarning, now: datetime) -> bool:
    """Write a fraud warning; False if it was known, of which only the verdict is taken over."""
    row = await tx.one(
        _INSERT_WARNING,
        id=to_uuid(warning.warning_id),
        stripe_id=warning.stripe_id,
        workspace_id=to_uuid(warning.workspace_id),
        payment_id=to_uuid(warning.payment_id),
        kind=warning.kind,
        actionable=warning.actionable,
        created_at=warning.created_at,
        now=now,
    )
    return row is not None and bytes(row.id.bytes) == warning.warning_id


async def list_warnings(
    tx: Transaction, workspace_id: bytes | None, *, before: bytes, limit: int
) -> list[FraudWarning]:
    """Read fraud warnings, newest first, older than `before`."""
    rows = await tx.all(
        _LIST_WARNINGS, workspace=optional_uuid(workspace_id), before=to_uuid(before), limit=limit
    )
    return [
        FraudWarning(
            warning_id=row.id.bytes,
            stripe_id=row.stripe_id,
            workspace_id=row.workspace_id.bytes,
            payment_id=row.payment_id.bytes,
            kind=row.kind,
            actionable=row.actionable,
            created_at=row.created_at,
        )
        for row in rows
    ]


def _changing(dispute: Dispute) -> dict[str, Any]:
    return {
        "id": to_uuid(dispute.dispute_id),
        "state": int(dispute.state),
        "reason": dispute.reason,
        "amount": dispute.amount,
        "withdrawn": dispute.withdrawn,
        "reinstated": dispute.reinstated,
        "up_to_nanos": dispute.up_to_nanos,
        "frozen_nanos": dispute.frozen_nanos,
        "owed_nanos": dispute.owed_nanos,
        "lost_net": dispute.lost.net,
        "lost_tax": dispute.lost.tax,
        "evidence_due_at": dispute.evidence_due_at,
        "evidence_sent_at": dispute.evidence_sent_at,
        "updated_at": dispute.updated_at,
        "checked_at": dispute.checked_at,
        "closed_at": dispute.closed_at,
    }


def _dispute_of(row: Row[Any]) -> Dispute:
    return Dispute(
        dispute_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        payment_id=row.payment_id.bytes,
        stripe_id=row.stripe_id,
        state=DisputeState(row.state),
        reason=row.reason,
        currency=row.currency,
        amount=row.amount_minor,
        withdrawn=row.withdrawn_minor,
        reinstated=row.reinstated_minor,
        up_to_nanos=row.up_to_nanos,
        frozen_nanos=row.frozen_nanos,
        owed_nanos=row.owed_nanos,
        lost=Share(row.lost_net_minor, row.lost_tax_minor),
        evidence_due_at=row.evidence_due_at,
        evidence_sent_at=row.evidence_sent_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        checked_at=row.checked_at,
        closed_at=row.closed_at,
    )

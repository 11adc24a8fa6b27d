"""Payments that were made, and what is left of their credit: as refunds and disputes see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.billing.parking import NotKnownYet
from core.billing.payments.model import PREFIX
from core.billing.shares import Share
from core.db.database import Transaction
from core.db.values import to_uuid
from kit.ids import format_id
from kit.reasons import NotFound

_SUCCEEDED: Final = 4
_COLUMNS: Final = (
    "id, workspace_id, state, currency, net_minor, tax_minor, intent_id, charge_id, grant_id,"
    " paid_at"
)
_FIND: Final = f"""
SELECT {_COLUMNS} FROM payment
 WHERE (intent_id = :intent AND :intent <> '') OR (charge_id = :charge AND :charge <> '')
 ORDER BY id LIMIT 1
"""  # noqa: S608 - constant
_IS_SURPLUS: Final = """
SELECT 1 AS one FROM payment_surplus WHERE intent_id = :intent OR charge_id = :charge LIMIT 1
"""
_CREDIT: Final = """
SELECT g.amount, g.expires_at,
       CASE WHEN g.expires_at <= :now THEN 0 ELSE g.remaining END AS free,
       (SELECT CAST(coalesce(sum(s.amount - s.used - s.returned), 0) AS bigint)
          FROM lease AS l JOIN lease_slice AS s ON s.lease_id = l.id
         WHERE l.workspace_id = g.workspace_id AND l.closed_at IS NULL
           AND s.grant_id = g.id) AS leased
  FROM credit_grant AS g WHERE g.id = :grant
"""


@dataclass(frozen=True, slots=True)
class PaidPayment:
    """A payment; `grant_id` is the credit that it bought, None until it has."""

    payment_id: bytes
    workspace_id: bytes
    whole: Share
    currency: str
    intent_id: str
    charge_id: str
    grant_id: bytes | None
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credit:
    """What is left of bought credit, in nano-dollars: free, and in leases."""

    amount: int
    free: int
    leased: int


async def read_payment(tx: Transaction, payment_id: bytes) -> PaidPayment:
    """Read a payment.

    Raises:
        NotFound: there is none.
    """
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM payment WHERE id = :id",  # noqa: S608 - constant
        id=to_uuid(payment_id),
    )
    if row is None:
        raise NotFound(payment=format_id(PREFIX, payment_id))
    return _payment_of(row)


async def find_paid(tx: Transaction, *, intent_id: str, charge_id: str) -> PaidPayment:
    """Find the credited payment of one of the provider's objects.

    Raises:
        NotKnownYet: there is none, or its credit has not been given yet.
    """
    row = await tx.one(_FIND, intent=intent_id, charge=charge_id)
    if row is None or row.state != _SUCCEEDED or row.grant_id is None:
        raise NotKnownYet
    return _payment_of(row)


async def is_surplus(tx: Transaction, *, intent_id: str, charge_id: str) -> bool:
    """Say whether one of the provider's objects is money that gave no credit, and goes back."""
    row = await tx.one(_IS_SURPLUS, intent=intent_id, charge=charge_id)
    return row is not None


async def credit_of(tx: Transaction, grant_id: bytes, now: datetime) -> Credit:
    """Read what is left of bought credit; what has expired is not."""
    row = await tx.one(_CREDIT, grant=to_uuid(grant_id), now=now)
    if row is None:
        raise NotFound(grant=format_id("grant", grant_id))
    return Credit(row.amount, row.free, row.leased)


def _payment_of(row: Row[Any]) -> PaidPayment:
    return PaidPayment(
        payment_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        whole=Share(row.net_minor, row.tax_minor),
        currency=row.currency,
        intent_id=row.intent_id or "",
        charge_id=row.charge_id or "",
        grant_id=None if row.grant_id is None else row.grant_id.bytes,
        paid_at=row.paid_at,
    )

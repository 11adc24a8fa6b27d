"""All SQL of payments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from core.billing.documents.model import TaxMode
from core.billing.payments.model import (
    PREFIX,
    Outcome,
    Payment,
    PaymentKind,
    PaymentState,
)
from core.billing.stripe.gateway import Charge
from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from kit.ids import format_id
from kit.money import NANOS_PER_CENT
from kit.reasons import NotFound

_COLUMNS: Final = (
    "id, workspace_id, request_id, kind, state, attempt, currency, net_minor, tax_minor, tax_mode,"
    " tax_rate_ppm, tax_calculation_id, session_id, session_url, intent_id, charge_id, customer_id,"
    " method_id, saves_card, failure, card_brand, card_last4, grant_id, created_at, paid_at,"
    " sent_at"
)
_OPEN: Final = "state IN (1, 2, 3)"
# A payment that somebody else wrote at the same time, or an automatic one beside an open one.
_INSERT: Final = """
INSERT INTO payment (id, workspace_id, request_id, kind, state, currency, net_minor, tax_minor,
    tax_mode, tax_rate_ppm, customer_id, method_id, saves_card, created_at, updated_at, checked_at)
VALUES (:id, :workspace_id, :request_id, :kind, 1, :currency, :net, :tax, :tax_mode, :rate,
    nullif(:customer_id, ''), nullif(:method_id, ''), :saves_card, :now, :now, :now)
ON CONFLICT DO NOTHING
"""
_GET: Final = f"SELECT {_COLUMNS} FROM payment WHERE id = :id"  # noqa: S608 - constants
_BY_REQUEST: Final = f"""
SELECT {_COLUMNS} FROM payment WHERE workspace_id = :workspace AND request_id = :request
"""  # noqa: S608 - constants
_LIST: Final = f"""
SELECT {_COLUMNS} FROM payment WHERE workspace_id = :workspace AND id < :before
 ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
_SET_CUSTOMER: Final = """
UPDATE payment SET customer_id = :customer, updated_at = :now WHERE id = :id AND state = 1
"""
_SET_TAX: Final = """
UPDATE payment SET tax_minor = :tax, tax_rate_ppm = :rate, tax_calculation_id = :calculation,
       tax_calculated_at = :now, updated_at = :now
 WHERE id = :id AND state = 1 AND tax_calculation_id IS NULL
"""
_SET_PAGE: Final = """
UPDATE payment SET session_id = :session, session_url = :url, intent_id = NULL, updated_at = :now,
       checked_at = :now, state = CASE WHEN state = 1 THEN 2 ELSE state END
 WHERE id = :id AND session_id IS NULL AND state IN (1, 3)
"""
_NOTE_CALL: Final = """
UPDATE payment SET attempt = :attempt, sent_at = :now, updated_at = :now WHERE id = :id
"""
# A charge that wants its owner is answered: the next call is that of its page.
_MOVE: Final = """
UPDATE payment SET state = :state, failure = :failure, intent_id = coalesce(:intent, intent_id),
       updated_at = :now, checked_at = :now,
       sent_at = CASE WHEN :state = 3 AND state <> 3 THEN NULL ELSE sent_at END
 WHERE id = :id
"""
_SUCCEED: Final = """
UPDATE payment SET state = 4, failure = '', tax_minor = :tax, tax_rate_ppm = :rate,
       intent_id = :intent, charge_id = :charge, card_brand = :brand, card_last4 = :last4,
       grant_id = :grant, paid_at = :now, updated_at = :now, checked_at = :now
 WHERE id = :id
"""
_TOUCH: Final = "UPDATE payment SET checked_at = :now WHERE id = :id"
# What is new is left to the call that made it; what is old is looked at less and less often.
_TAKE_DUE: Final = f"""
UPDATE payment SET checked_at = :now
 WHERE id IN (SELECT id FROM payment
               WHERE {_OPEN} AND checked_at <= CAST(:now AS timestamptz) -
                     CASE WHEN state = 1 THEN CAST(:young AS interval)
                          ELSE least(greatest((:now - created_at) / 4, :shortest), :longest) END
               ORDER BY checked_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_LOOK_SOON: Final = f"""
UPDATE payment SET checked_at = 'epoch' WHERE session_id = :session AND {_OPEN}
"""  # noqa: S608 - constants
# An open page is an intention only; a charge, or a page that was completed, is on its way.
_ON_ITS_WAY: Final = f"{_OPEN} AND (kind IN (2, 3) OR intent_id IS NOT NULL)"
_OTHER: Final = "id IS DISTINCT FROM CAST(:besides AS uuid)"
# No card is charged for what we took away: what is frozen counts as there, and who owes, disputes
# or is being refunded buys by hand only.
_SHORT_OF_CREDIT: Final = f"""
SELECT a.workspace_id FROM billing_account AS a
  JOIN wallet AS w ON w.workspace_id = a.workspace_id
  JOIN workspace AS s ON s.id = a.workspace_id
 WHERE a.auto_state = 2 AND s.state = 1 AND a.method_id IS NOT NULL AND a.customer_id IS NOT NULL
   AND a.auto_amount_minor > 0 AND (a.auto_not_before IS NULL OR a.auto_not_before <= :now)
   AND (CAST(:only AS uuid) IS NULL OR a.workspace_id = :only)
   AND w.receivable = 0
   AND NOT EXISTS (SELECT 1 FROM dispute
                    WHERE workspace_id = a.workspace_id AND (closed_at IS NULL OR state = 5))
   AND NOT EXISTS (SELECT 1 FROM refund
                    WHERE workspace_id = a.workspace_id AND state IN (1, 2, 3, 7))
   AND w.posted + :cent *
       (SELECT coalesce(sum(net_minor), 0) FROM payment
         WHERE workspace_id = a.workspace_id AND {_OTHER} AND {_ON_ITS_WAY})
       < a.auto_threshold_nanos
   AND NOT EXISTS (SELECT 1 FROM payment
                    WHERE workspace_id = a.workspace_id AND {_OTHER} AND kind = 3 AND {_OPEN})
   AND (a.auto_monthly_cap_minor = 0 OR a.auto_amount_minor +
       (SELECT coalesce(sum(net_minor), 0) FROM payment
         WHERE workspace_id = a.workspace_id AND {_OTHER} AND kind = 3 AND state NOT IN (5, 6)
           AND created_at >= :month) <= a.auto_monthly_cap_minor)
 ORDER BY a.workspace_id LIMIT :limit
"""  # noqa: S608 - constants


async def insert(tx: Transaction, payment: Payment) -> bool:
    """Write a new payment; False if its request id is taken, or an automatic one is open."""
    count = await tx.run(
        _INSERT,
        id=to_uuid(payment.payment_id),
        workspace_id=to_uuid(payment.workspace_id),
        request_id=payment.request_id,
        kind=int(payment.kind),
        currency=payment.currency,
        net=payment.net,
        tax=payment.tax,
        tax_mode=int(payment.tax_mode),
        rate=payment.tax_rate_ppm,
        customer_id=payment.customer_id,
        method_id=payment.method_id,
        saves_card=payment.saves_card,
        now=payment.created_at,
    )
    return count == 1


async def find(tx: Transaction, payment_id: bytes) -> Payment | None:
    """Read a payment, None if there is none."""
    row = await tx.one(_GET, id=to_uuid(payment_id))
    return None if row is None else _payment(row)


async def get(tx: Transaction, payment_id: bytes) -> Payment:
    """Read a payment.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, payment_id)
    if found is None:
        raise NotFound(payment=format_id(PREFIX, payment_id))
    return found


async def lock(tx: Transaction, payment_id: bytes) -> Payment:
    """Read a payment and keep others from changing it until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    row = await tx.one(f"{_GET} FOR NO KEY UPDATE", id=to_uuid(payment_id))
    if row is None:
        raise NotFound(payment=format_id(PREFIX, payment_id))
    return _payment(row)


async def of_request(tx: Transaction, workspace_id: bytes, request_id: str) -> Payment | None:
    """Find the payment of a caller's request id."""
    row = await tx.one(_BY_REQUEST, workspace=to_uuid(workspace_id), request=request_id)
    return None if row is None else _payment(row)


async def list_payments(
    tx: Transaction, workspace_id: bytes, *, before: bytes, limit: int
) -> list[Payment]:
    """Read payments of a workspace, newest first, older than `before`."""
    rows = await tx.all(_LIST, workspace=to_uuid(workspace_id), before=to_uuid(before), limit=limit)
    return [_payment(row) for row in rows]


async def set_customer(tx: Transaction, payment_id: bytes, customer: str, now: datetime) -> None:
    """Write for which of the provider's customers a payment is made."""
    await tx.run(_SET_CUSTOMER, id=to_uuid(payment_id), customer=customer, now=now)


async def set_tax(
    tx: Transaction, payment_id: bytes, *, tax: int, rate_ppm: int, calculation: str, now: datetime
) -> None:
    """Write the tax that the provider calculated, once."""
    await tx.run(
        _SET_TAX,
        id=to_uuid(payment_id),
        tax=tax,
        rate=rate_ppm,
        calculation=calculation,
        now=now,
    )


async def set_page(
    tx: Transaction, payment_id: bytes, *, session: str, url: str, now: datetime
) -> bool:
    """Write the provider's page of a payment; False if it has one, or needs none any more."""
    count = await tx.run(_SET_PAGE, id=to_uuid(payment_id), session=session, url=url, now=now)
    return count == 1


async def note_call(tx: Transaction, payment_id: bytes, attempt: int, now: datetime) -> None:
    """Write that the call that makes a payment is made now, and with which key."""
    await tx.run(_NOTE_CALL, id=to_uuid(payment_id), attempt=attempt, now=now)


async def move(tx: Transaction, payment_id: bytes, outcome: Outcome, now: datetime) -> None:
    """Write where a payment stands; never one that succeeded."""
    await tx.run(
        _MOVE,
        id=to_uuid(payment_id),
        state=int(outcome.state),
        failure=outcome.failure,
        intent=None if outcome.intent is None else outcome.intent.id,
        now=now,
    )


async def succeed(
    tx: Transaction,
    payment_id: bytes,
    *,
    tax: int,
    tax_rate_ppm: int,
    intent_id: str,
    charge: Charge,
    grant_id: bytes,
    now: datetime,
) -> None:
    """Write that a payment was paid, and which credit it gave."""
    await tx.run(
        _SUCCEED,
        id=to_uuid(payment_id),
        tax=tax,
        rate=tax_rate_ppm,
        intent=intent_id,
        charge=charge.id,
        brand=charge.card_brand,
        last4=charge.card_last4,
        grant=to_uuid(grant_id),
        now=now,
    )


async def touch(tx: Transaction, payment_id: bytes, now: datetime) -> None:
    """Write that a payment was compared with the provider, and has not changed."""
    await tx.run(_TOUCH, id=to_uuid(payment_id), now=now)


async def look_soon(tx: Transaction, session_id: str) -> None:
    """Let the payment of a page be compared at the next look, if it is open."""
    await tx.run(_LOOK_SOON, session=session_id)


async def take_due(
    tx: Transaction,
    now: datetime,
    *,
    young_seconds: int,
    shortest_seconds: int,
    longest_seconds: int,
    limit: int,
) -> list[Payment]:
    """Take open payments that are to be compared with the provider; others leave them alone."""
    rows = await tx.all(
        _TAKE_DUE,
        now=now,
        young=_interval(young_seconds),
        shortest=_interval(shortest_seconds),
        longest=_interval(longest_seconds),
        limit=limit,
    )
    return [_payment(row) for row in rows]


async def short_of_credit(
    tx: Transaction,
    now: datetime,
    *,
    only: bytes | None = None,
    besides: bytes | None = None,
    limit: int,
) -> list[bytes]:
    """Find the workspaces that are to be topped up now; with `only`, whether that one is.

    With `besides`, as if there were no such payment.
    """
    rows = await tx.all(
        _SHORT_OF_CREDIT,
        now=now,
        month=now.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
        cent=NANOS_PER_CENT,
        only=None if only is None else to_uuid(only),
        besides=None if besides is None else to_uuid(besides),
        limit=limit,
    )
    return [from_uuid(row.workspace_id) for row in rows]


def _interval(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        payment_id=from_uuid(row.id),
        workspace_id=from_uuid(row.workspace_id),
        request_id=row.request_id,
        kind=PaymentKind(row.kind),
        state=PaymentState(row.state),
        attempt=row.attempt,
        net=row.net_minor,
        tax=row.tax_minor,
        tax_mode=TaxMode(row.tax_mode),
        tax_rate_ppm=row.tax_rate_ppm,
        created_at=row.created_at,
        saves_card=row.saves_card,
        currency=row.currency,
        tax_calculation_id=row.tax_calculation_id or "",
        session_id=row.session_id or "",
        session_url=row.session_url or "",
        intent_id=row.intent_id or "",
        charge_id=row.charge_id or "",
        customer_id=row.customer_id or "",
        method_id=row.method_id or "",
        failure=row.failure,
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        grant_id=None if row.grant_id is None else from_uuid(row.grant_id),
        paid_at=row.paid_at,
        sent_at=row.sent_at,
    )

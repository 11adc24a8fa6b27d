"""Whether the call that makes a payment is made now: decided, and written, under the row's lock.

A call may still be under way when nobody waits for it any more. So each is written down before it
is made; a key is changed, and a payment given up, only when none can be under way any more, and
after the provider was searched.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from core.accounts.model import WorkspaceState
from core.accounts.store import get_workspace
from core.billing.accounts import store as accounts
from core.billing.accounts.model import BillingAccount
from core.billing.payments import store
from core.billing.payments.model import (
    GIVEN_UP_AFTER,
    NEXT_KEY_AFTER,
    OWNER_WAITS_FOR,
    Payment,
    PaymentKind,
    PaymentState,
)
from core.db.database import Transaction

LONGEST_CALL: Final = timedelta(minutes=5)
"""No call takes as long, retries and all: the desk cuts it off before."""


class Verdict(Enum):
    """What is to be done about a call."""

    SEND = "send"
    LEAVE = "leave"
    WITHDRAWN = "withdrawn"
    GIVEN_UP = "not_made"


async def claim(tx: Transaction, read: Payment, now: datetime) -> tuple[Payment, Verdict]:
    """Say whether a payment's call is made now, and write down that it is.

    `read` is the payment as it was before the provider was searched: whoever sent since then is to
    be heard first.
    """
    account = await accounts.lock(tx, read.workspace_id, now)
    stands = await store.lock(tx, read.payment_id)
    if _call(stands) != _call(read):
        return stands, Verdict.LEAVE
    is_quiet = stands.sent_at is None or now - stands.sent_at > LONGEST_CALL
    if is_over(stands, now):
        return stands, Verdict.GIVEN_UP if is_quiet else Verdict.LEAVE
    if not await _is_wanted(tx, account, stands, now):
        return stands, Verdict.WITHDRAWN if is_quiet else Verdict.LEAVE
    attempt = stands.attempt
    if stands.kind is not PaymentKind.CHECKOUT and now - stands.created_at > (
        NEXT_KEY_AFTER * attempt
    ):
        if not is_quiet:
            return stands, Verdict.LEAVE
        attempt += 1
    await store.note_call(tx, stands.payment_id, attempt, now)
    return await store.get(tx, stands.payment_id), Verdict.SEND


async def claim_page(tx: Transaction, read: Payment, now: datetime) -> tuple[Payment, bool]:
    """Say whether the page of a charge that wants its owner is made now, and write down that it is.

    Of several who see that it is wanted, one makes it and tells the owner; if that one dies,
    another does it once no call can be under way any more.
    """
    await accounts.lock(tx, read.workspace_id, now)
    stands = await store.lock(tx, read.payment_id)
    is_quiet = stands.sent_at is None or now - stands.sent_at > LONGEST_CALL
    if stands.state is not PaymentState.NEEDS_ACTION or stands.session_id or not is_quiet:
        return stands, False
    await store.note_call(tx, stands.payment_id, stands.attempt, now)
    return await store.get(tx, stands.payment_id), True


def is_over(payment: Payment, now: datetime) -> bool:
    """Say whether nobody may be charged for a payment any more that was never made."""
    waits = OWNER_WAITS_FOR if payment.kind is PaymentKind.SAVED_CARD else GIVEN_UP_AFTER
    return now - payment.created_at > waits


def _call(payment: Payment) -> tuple[object, ...]:
    # A page that is asked for twice with one key is one page; of charges only one is under way.
    sent_at = None if payment.kind is PaymentKind.CHECKOUT else payment.sent_at
    return (payment.state, payment.attempt, payment.session_id, payment.intent_id, sent_at)


async def _is_wanted(
    tx: Transaction, account: BillingAccount, payment: Payment, now: datetime
) -> bool:
    """Say whether its customer still wants it: the card is there, and what it was made for."""
    whose = payment.workspace_id
    if (await get_workspace(tx, whose)).state is WorkspaceState.CLOSED:
        return False
    if payment.kind is PaymentKind.CHECKOUT:
        return True
    if account.method_id != payment.method_id:
        return False
    if payment.kind is PaymentKind.SAVED_CARD:
        return True
    besides = payment.payment_id
    return bool(await store.short_of_credit(tx, now, only=whose, besides=besides, limit=1))

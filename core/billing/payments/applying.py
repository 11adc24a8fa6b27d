"""Writes what a payment has become: the one place where a purchase turns into credit.

Called from webhooks, the sweep, the janitor and the calls of customers, in any order and at the
same time: the payment's row is locked, the credit's business key is the provider's payment, and
what is final stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.audit import Act
from core.billing.accounts import store as accounts
from core.billing.accounts.model import (
    AutoStop,
    BillingAccount,
    after_decline,
    after_success,
    stopped,
)
from core.billing.alarms import raise_alarm
from core.billing.documents.issue import Documents
from core.billing.payments import store
from core.billing.payments.leftovers import keep_surplus
from core.billing.payments.model import (
    WITHDRAWN,
    Outcome,
    Payment,
    PaymentKind,
    PaymentState,
)
from core.billing.stripe.gateway import GONE, Charge, Intent
from core.db.database import Transaction
from core.ledger.credits import GrantRequest, grant_with_balance
from core.ledger.model import GrantKind
from core.mail import outbox
from kit.money import NANOS_PER_CENT
from kit.reasons import AmountOutOfRange

CARD_IS_GONE: Final = frozenset({GONE, "payment_method_unexpected_state"})
"""What the provider says of a saved card, or of a customer, that it has no more."""
_OVER: Final = frozenset({PaymentState.FAILED, PaymentState.EXPIRED})


async def apply(
    tx: Transaction, act: Act, payment: Payment, outcome: Outcome, documents: Documents
) -> Payment:
    """Move a payment to an outcome, and everything that goes with it; return it as it stands.

    `payment` is as it was read before the provider was asked: if it was given a page since then,
    what was found without that page says nothing, unless money came.
    """
    read_page = payment.session_id
    account = await accounts.lock(tx, payment.workspace_id, act.now)
    payment = await store.lock(tx, payment.payment_id)
    if payment.state.is_final:
        await _watch_for_second_payment(tx, act, payment, outcome)
        await store.touch(tx, payment.payment_id, act.now)
    elif outcome.state is PaymentState.SUCCEEDED:
        await _fulfil(tx, act, payment, outcome, account, documents)
    elif outcome.state is PaymentState.QUARANTINED:
        await _quarantine(tx, act, payment, outcome)
    elif payment.state in _OVER or payment.session_id != read_page:
        await store.touch(tx, payment.payment_id, act.now)
    else:
        await store.move(tx, payment.payment_id, outcome, act.now)
        await _tell_account(tx, act, payment, outcome, account)
    return await store.get(tx, payment.payment_id)


async def _fulfil(
    tx: Transaction,
    act: Act,
    payment: Payment,
    outcome: Outcome,
    account: BillingAccount,
    documents: Documents,
) -> None:
    intent, charge = _paid(outcome)
    try:
        granted = await grant_with_balance(tx, _credit(act, payment, intent, outcome.tax))
    except AmountOutOfRange:
        wrong = replace(outcome, state=PaymentState.QUARANTINED, failure="ledger_range")
        await _quarantine(tx, act, payment, wrong)
        return
    await store.succeed(
        tx,
        payment.payment_id,
        tax=outcome.tax,
        tax_rate_ppm=outcome.tax_rate_ppm,
        intent_id=intent.id,
        charge=charge,
        grant_id=granted.grant.grant_id,
        now=act.now,
    )
    await documents.issue_receipt(tx, payment_id=payment.payment_id, now=act.now)
    if payment.saves_card and intent.method_id:
        await accounts.set_card(
            tx,
            payment.workspace_id,
            method_id=intent.method_id,
            brand=charge.card_brand,
            last4=charge.card_last4,
            now=act.now,
        )
    if payment.kind is PaymentKind.AUTOMATIC:
        auto = after_success(account.auto, act.now)
        await accounts.set_auto(tx, payment.workspace_id, auto, act.now)
    await act.audit(tx, "billing.CreditPayment", payment.name, payment.workspace_id)


async def _quarantine(tx: Transaction, act: Act, payment: Payment, outcome: Outcome) -> None:
    """Give no credit for money that is not what was asked for: it goes back, with an alarm."""
    await store.move(tx, payment.payment_id, outcome, act.now)
    found = None if outcome.intent is None else outcome.intent.amount
    if outcome.intent is not None:
        await keep_surplus(tx, act, payment, outcome.intent)
    await raise_alarm(
        tx, act, "payment_quarantined", payment.name, expected=payment.total, found=found
    )
    await act.audit(tx, "billing.QuarantinePayment", payment.name, payment.workspace_id)


async def _watch_for_second_payment(
    tx: Transaction, act: Act, payment: Payment, outcome: Outcome
) -> None:
    """Raise an alarm if a payment that is done was paid once more, and give that back."""
    intent = outcome.intent
    paid = {PaymentState.SUCCEEDED, PaymentState.QUARANTINED}
    if outcome.state in paid and intent is not None and intent.id != payment.intent_id:
        await keep_surplus(tx, act, payment, intent)
        await raise_alarm(
            tx, act, "payment_paid_twice", payment.name, expected=payment.total, found=intent.amount
        )


async def _tell_account(
    tx: Transaction, act: Act, payment: Payment, outcome: Outcome, account: BillingAccount
) -> None:
    """Let automatic top-up pause or stop; the card's owner is told why it stopped."""
    failed = outcome.state is PaymentState.FAILED
    if failed and outcome.failure in CARD_IS_GONE:
        await _forget_what_is_gone(tx, act, payment, account)
    if payment.kind is not PaymentKind.AUTOMATIC or payment.state is outcome.state:
        return
    auto = account.auto
    if failed and outcome.failure == WITHDRAWN:
        return
    if failed and outcome.failure in CARD_IS_GONE:
        auto = stopped(auto, AutoStop.CARD_GONE)
    elif failed:
        auto = after_decline(auto, act.now)
    elif outcome.state is PaymentState.NEEDS_ACTION:
        auto = stopped(auto, AutoStop.AUTHENTICATION)
    await accounts.set_auto(tx, payment.workspace_id, auto, act.now)
    # Of one that waited for its owner the page was refused: nobody has been written to yet.
    is_news = auto.state is not account.auto.state or payment.state is PaymentState.NEEDS_ACTION
    if failed and is_news:
        await outbox.put(tx, act, payment.workspace_id, "top_up_stopped", payment.payment_id)


async def _forget_what_is_gone(
    tx: Transaction, act: Act, payment: Payment, account: BillingAccount
) -> None:
    if payment.kind is PaymentKind.CHECKOUT:
        # Nothing else was named in that call.
        await accounts.forget_customer(tx, payment.workspace_id, payment.customer_id, act.now)
    elif account.method_id == payment.method_id:
        await accounts.set_card(
            tx, payment.workspace_id, method_id="", brand="", last4="", now=act.now
        )


def _credit(act: Act, payment: Payment, intent: Intent, tax: int) -> GrantRequest:
    return GrantRequest(
        workspace_id=payment.workspace_id,
        kind=GrantKind.PAID,
        amount=payment.net * NANOS_PER_CENT,
        expires_at=None,
        business_key=f"stripe:{intent.id}:credit",
        actor=act.actor,
        now=act.now,
        tax=tax * NANOS_PER_CENT,
    )


def _paid(outcome: Outcome) -> tuple[Intent, Charge]:
    intent = outcome.intent
    if intent is None or intent.charge is None:
        raise LookupError("a payment succeeds by a charge")
    return intent, intent.charge

"""What the provider's answers mean: money that came decides, and only as it was asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from core.billing.documents.model import TaxMode
from core.billing.payments.model import (
    Outcome,
    Payment,
    PaymentKind,
    PaymentState,
    outcome_of,
)
from core.billing.stripe.gateway import Charge, Checkout, Intent, IntentStatus

PAYMENT = Payment(
    payment_id=bytes(16),
    workspace_id=bytes(16),
    request_id="request-1",
    kind=PaymentKind.CHECKOUT,
    state=PaymentState.PENDING,
    attempt=1,
    net=1_000,
    tax=190,
    tax_mode=TaxMode.STATIC_RATE,
    tax_rate_ppm=190_000,
    created_at=datetime(2026, 11, 20, tzinfo=UTC),
    customer_id="cus_1",
)
CHARGE = Charge("ch_1", 1_190, "usd", True, "visa", "4242", None)  # noqa: FBT003 - fields
PAID = Intent(
    id="pi_1",
    status=IntentStatus.SUCCEEDED,
    amount=1_190,
    currency="usd",
    customer_id="cus_1",
    method_id="pm_1",
    payment_id=PAYMENT.name,
    livemode=False,
    failure="",
    charge=CHARGE,
)
PAGE = Checkout(
    id="cs_1",
    url="https://example.org",
    status="complete",
    payment_status="paid",
    intent_id="pi_1",
    payment_id=PAYMENT.name,
    customer_id="cus_1",
    amount=1_190,
    tax=0,
    tax_rate_ppm=0,
    currency="usd",
    livemode=False,
)

statuses = st.sampled_from(IntentStatus)
amounts = st.sampled_from([0, 1, 1_000, 1_189, 1_190, 1_191])
currencies = st.sampled_from(["usd", "eur", "jpy"])
charges = st.none() | st.builds(
    lambda amount, currency, paid: replace(CHARGE, amount=amount, currency=currency, paid=paid),
    amounts,
    currencies,
    st.booleans(),
)
intents = st.builds(
    lambda status, amount, currency, customer, livemode, charge: replace(
        PAID,
        status=status,
        amount=amount,
        currency=currency,
        customer_id=customer,
        livemode=livemode,
        charge=charge,
    ),
    statuses,
    amounts,
    currencies,
    st.sampled_from(["", "cus_1", "cus_2"]),
    st.booleans(),
    charges,
)
pages = st.none() | st.builds(
    lambda status, amount, currency: replace(PAGE, status=status, amount=amount, currency=currency),
    st.sampled_from(["open", "complete", "expired"]),
    amounts,
    currencies,
)
payments = st.builds(
    lambda state, kind: replace(PAYMENT, state=state, kind=kind),
    st.sampled_from(PaymentState),
    st.sampled_from(PaymentKind),
)


def outcome(payment: Payment, page: Checkout | None, intent: Intent | None) -> Outcome:
    """Decide in test mode."""
    return outcome_of(payment, page, intent, livemode=False)


def test_what_is_paid_as_asked_for_succeeds() -> None:
    """With and without a page."""
    for page in (None, PAGE):
        assert outcome(PAYMENT, page, PAID).state is PaymentState.SUCCEEDED


@given(payments, pages, st.none() | intents)
def test_nothing_but_exactly_what_was_asked_for_gives_credit(
    payment: Payment, page: Checkout | None, intent: Intent | None
) -> None:
    """Whatever the provider's objects say; and what came otherwise is never lost from sight."""
    found = outcome(payment, page, intent)
    came = intent is not None and intent.status is IntentStatus.SUCCEEDED
    if found.state is PaymentState.SUCCEEDED and came:
        assert intent is not None
        assert intent.charge is not None
        assert intent.charge.paid
        assert {intent.amount, intent.charge.amount} == {1_190}
        assert {intent.currency, intent.charge.currency} == {"usd"}
        assert not intent.livemode
        assert page is None or (page.amount, page.currency) == (1_190, "usd")
    elif came:
        assert (found.state, bool(found.failure)) == (PaymentState.QUARANTINED, True)
    else:
        known = payment.state if page is None and intent is None else PaymentState.PENDING
        assert found.state in {
            known,
            PaymentState.PENDING,
            PaymentState.NEEDS_ACTION,
            PaymentState.FAILED,
            PaymentState.EXPIRED,
        }


def test_the_providers_tax_is_that_of_its_page() -> None:
    """It was not known before."""
    payment = replace(PAYMENT, tax=0, tax_mode=TaxMode.STRIPE)
    found = outcome(payment, replace(PAGE, tax=190), PAID)
    assert (found.state, found.tax) == (PaymentState.SUCCEEDED, 190)
    assert outcome(payment, PAGE, PAID).failure == "amount_mismatch"


def test_a_charge_that_we_cancelled_for_its_page_waits_for_the_page() -> None:
    """Its event may be quicker than our row."""
    waiting = replace(PAYMENT, state=PaymentState.NEEDS_ACTION, failure="authentication_required")
    cancelled = replace(PAID, status=IntentStatus.CANCELED, charge=None)
    assert outcome(waiting, None, cancelled).state is PaymentState.NEEDS_ACTION
    assert outcome(PAYMENT, None, cancelled).state is PaymentState.FAILED

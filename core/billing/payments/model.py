"""What a payment is, and what the provider's answer means for it. Pure; amounts in cents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from core.billing.documents.model import TaxMode
from core.billing.stripe.gateway import Checkout, Intent, IntentStatus
from kit.ids import PAYMENT_PREFIX, format_id
from kit.money import NANOS_PER_CENT, divide_half_even
from kit.reasons import AmountOutOfRange, InvalidArgument

PREFIX: Final = PAYMENT_PREFIX
CURRENCY: Final = "usd"
NET_MIN: Final = 100
NET_MAX: Final = 1_000_000
"""1.00 to 10,000.00 US dollars."""
PPM: Final = 1_000_000
NEXT_KEY_AFTER: Final = timedelta(hours=1)
"""How long a call without an answer keeps its key; then a search says that it made nothing."""
GIVEN_UP_AFTER: Final = timedelta(hours=23)
"""The provider remembers keys for at least 24 hours."""
GIVEN_UP_ANYWAY_AFTER: Final = timedelta(hours=24)
"""Then also without a search, should the provider not let us; money that comes is credited."""
OWNER_WAITS_FOR: Final = timedelta(hours=1)
"""Nobody who pressed a button is charged for it much later."""
SEARCH_MARGIN: Final = timedelta(hours=1)
"""How far the provider's clock may be from ours in a search."""
AUTHENTICATION: Final = "authentication_required"
WITHDRAWN: Final = "withdrawn"
"""The failure of a payment that its customer did not want any more; no decline."""


class PaymentKind(IntEnum):
    """How a payment is made; the values are those of the contract."""

    CHECKOUT = 1
    SAVED_CARD = 2
    AUTOMATIC = 3


class PaymentState(IntEnum):
    """Where a payment stands; the values are those of the contract."""

    CREATED = 1
    PENDING = 2
    NEEDS_ACTION = 3
    SUCCEEDED = 4
    FAILED = 5
    EXPIRED = 6
    QUARANTINED = 7

    @property
    def is_final(self) -> bool:
        """Say whether nothing changes it any more: money that came is where it belongs."""
        return self in {PaymentState.SUCCEEDED, PaymentState.QUARANTINED}


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment. Texts are empty until they are known."""

    payment_id: bytes
    workspace_id: bytes
    request_id: str
    kind: PaymentKind
    state: PaymentState
    attempt: int
    net: int
    tax: int
    tax_mode: TaxMode
    tax_rate_ppm: int
    created_at: datetime
    saves_card: bool = False
    currency: str = CURRENCY
    tax_calculation_id: str = ""
    session_id: str = ""
    session_url: str = ""
    intent_id: str = ""
    charge_id: str = ""
    customer_id: str = ""
    method_id: str = ""
    failure: str = ""
    card_brand: str = ""
    card_last4: str = ""
    grant_id: bytes | None = None
    paid_at: datetime | None = None
    sent_at: datetime | None = None

    @property
    def name(self) -> str:
        """Return the id as the provider and everybody else sees it."""
        return format_id(PREFIX, self.payment_id)

    @property
    def total(self) -> int:
        """Return what is to be paid, as far as we know the tax."""
        return self.net + self.tax

    @property
    def key(self) -> str:
        """Return the idempotency key of the call that makes it at the provider."""
        return f"{self.name}:{self.attempt}"

    @property
    def page_key(self) -> str:
        """Return the key of the page on which a charge is confirmed: another call, another key."""
        return f"{self.name}:{self.attempt}:page"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a payment has become at the provider; `tax` at `tax_rate_ppm` is in what was paid."""

    state: PaymentState
    failure: str = ""
    intent: Intent | None = None
    tax: int = 0
    tax_rate_ppm: int = 0


def checked_net(nanos: int) -> int:
    """Return the cents of an amount of credit to buy.

    Raises:
        InvalidArgument: not in whole cents.
        AmountOutOfRange: less or more than we sell at once.
    """
    cents, rest = divmod(nanos, NANOS_PER_CENT)
    if rest:
        raise InvalidArgument(fields="amount")
    if not NET_MIN <= cents <= NET_MAX:
        raise AmountOutOfRange(fields="amount")
    return cents


def checked_cap(nanos: int) -> int:
    """Return the cents of a monthly cap, 0 for none.

    Raises:
        InvalidArgument: below zero, or not in whole cents.
    """
    cents, rest = divmod(nanos, NANOS_PER_CENT)
    if rest or cents < 0:
        raise InvalidArgument(fields="monthly_cap")
    return cents


def static_tax(net: int, rate_ppm: int) -> int:
    """Return the tax on an amount, rounded half to even once."""
    return divide_half_even(net * rate_ppm, PPM)


def outcome_of(
    payment: Payment, checkout: Checkout | None, intent: Intent | None, *, livemode: bool
) -> Outcome:
    """Say what the provider's objects, as they stand, mean for a payment.

    Money that came decides, whatever else is said; and only if it is what was asked for.
    """
    tax, rate_ppm = _tax(payment, checkout)
    if intent is not None and intent.status is IntentStatus.SUCCEEDED:
        wrong = _mismatch(payment, checkout, intent, tax, livemode=livemode)
        state = PaymentState.QUARANTINED if wrong else PaymentState.SUCCEEDED
        return Outcome(state, wrong, intent, tax, rate_ppm)
    if checkout is not None:
        return _of_page(checkout, intent)
    if intent is None:
        return Outcome(payment.state, payment.failure)
    if payment.state is PaymentState.NEEDS_ACTION and intent.status is IntentStatus.CANCELED:
        # We cancelled it, for its page; that it is not there yet is no failure.
        return Outcome(payment.state, payment.failure, intent)
    return _of_charge(intent)


def _of_page(checkout: Checkout, intent: Intent | None) -> Outcome:
    if checkout.status == "expired":
        return Outcome(PaymentState.EXPIRED)
    if checkout.status != "complete":
        return Outcome(PaymentState.PENDING)
    # Completed and not paid: the money is on its way, or the bank has refused it since.
    refused = {IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.CANCELED}
    if intent is not None and intent.status in refused:
        return Outcome(PaymentState.FAILED, intent.failure or "not_paid", intent)
    return Outcome(PaymentState.PENDING, intent=intent)


def _of_charge(intent: Intent) -> Outcome:
    if intent.status is IntentStatus.CANCELED:
        return Outcome(PaymentState.FAILED, intent.failure or "canceled", intent)
    if intent.status is IntentStatus.REQUIRES_PAYMENT_METHOD:
        if intent.failure == AUTHENTICATION:
            return Outcome(PaymentState.NEEDS_ACTION, AUTHENTICATION, intent)
        return Outcome(PaymentState.FAILED, intent.failure or "declined", intent)
    if intent.status in {IntentStatus.REQUIRES_ACTION, IntentStatus.REQUIRES_CONFIRMATION}:
        return Outcome(PaymentState.NEEDS_ACTION, AUTHENTICATION, intent)
    return Outcome(PaymentState.PENDING, intent=intent)


def _tax(payment: Payment, checkout: Checkout | None) -> tuple[int, int]:
    """Return the tax that was paid and its rate: on its page the provider may have said both."""
    if payment.tax_mode is TaxMode.STRIPE and checkout is not None:
        return checkout.tax, checkout.tax_rate_ppm
    return payment.tax, payment.tax_rate_ppm


def _mismatch(
    payment: Payment, checkout: Checkout | None, intent: Intent, tax: int, *, livemode: bool
) -> str:
    """Return in what a paid intent is not what was asked for; nothing is converted silently."""
    charge = intent.charge
    if charge is None or not charge.paid:
        return "no_charge"
    checks = {
        "livemode": intent.livemode == livemode,
        "currency": {intent.currency, charge.currency} == {payment.currency},
        "amount": {intent.amount, charge.amount} == {payment.net + tax},
        "customer": intent.customer_id in {"", payment.customer_id} or not payment.customer_id,
        "page": checkout is None
        or (checkout.currency, checkout.amount) == (payment.currency, payment.net + tax),
    }
    return next((f"{name}_mismatch" for name, holds in checks.items() if not holds), "")

"""What we ask of the payment provider, in our own values. Amounts are minor units (cents).

Every call that makes something takes an idempotency key, of our row and its attempt: the same key
with the same content makes one object, whatever was lost on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from kit.reasons import DomainError
from oneapi.common.v1.error_reason_pb2 import ErrorReason

Item = TypeVar("Item")

GONE: Final = "resource_missing"
"""The code of a refusal: what the call names is not there, or not any more."""
NO_PLACE: Final = "customer_tax_location_invalid"
"""What is known of a customer does not say where tax is due (docs.stripe.com/error-codes)."""


class PaymentUnknown(DomainError):
    """The payment provider did not say what became of a call; the same call may be repeated."""

    reason = ErrorReason.ERROR_REASON_UNAVAILABLE


class StripeRefused(DomainError):
    """The payment provider refused a call; `code` is its word for why."""

    reason = ErrorReason.ERROR_REASON_INVALID_STATE

    @property
    def code(self) -> str:
        """Return the provider's code, such as `charge_disputed` or `resource_missing`."""
        return self.metadata.get("code", "")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a customer is; `country` is ISO 3166-1 alpha-2. Without a country it is none."""

    country: str = ""
    line1: str = ""
    line2: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class TaxId:
    """A tax id and which kind it is, in the provider's words (`eu_vat`)."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """What the provider is told of a customer.

    Without an address it keeps the one that it has, of the page on which somebody paid; an empty
    one erases that.
    """

    name: str
    email: str
    address: Address | None
    tax_id: TaxId | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Return all that the call that makes a customer says; the tax id is another call's."""
        address = self.address or Address()
        place = (address.country, address.line1, address.line2, address.postal_code)
        return (self.name, self.email, *place)


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """A movement of our balance at the provider. `amount` = `net` + `fee`; out is negative."""

    id: str
    type: str
    source_id: str
    amount: int
    fee: int
    net: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that was taken from a card."""

    id: str
    amount: int
    currency: str
    paid: bool
    card_brand: str
    card_last4: str
    balance_transaction: BalanceTransaction | None


class IntentStatus(Enum):
    """The states of a PaymentIntent."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent as it stands. `payment_id` is the id of our row, from its metadata."""

    id: str
    status: IntentStatus
    amount: int
    currency: str
    customer_id: str
    method_id: str
    payment_id: str
    livemode: bool
    failure: str
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A Checkout Session as it stands; `tax` is what the provider added, if it did.

    `tax_rate_ppm` is the rate in millionths as the provider says it, 0 where it says none.
    """

    id: str
    url: str
    status: str
    payment_status: str
    intent_id: str
    payment_id: str
    customer_id: str
    amount: int
    tax: int
    tax_rate_ppm: int
    currency: str
    livemode: bool


@dataclass(frozen=True, slots=True)
class StripeRefund:
    """A refund as it stands: `pending`, `requires_action`, `succeeded`, `failed`, `canceled`."""

    id: str
    status: str
    amount: int
    currency: str
    charge_id: str
    intent_id: str
    refund_id: str
    failure: str
    balance_transaction: BalanceTransaction | None
    failure_balance_transaction: BalanceTransaction | None


@dataclass(frozen=True, slots=True)
class StripeDispute:
    """A dispute as it stands, with the movements of our balance it has made (0 to 2)."""

    id: str
    status: str
    reason: str
    amount: int
    currency: str
    charge_id: str
    intent_id: str
    created_at: datetime
    due_at: datetime | None
    submissions: int
    balance_transactions: tuple[BalanceTransaction, ...]


@dataclass(frozen=True, slots=True)
class StripeWarning:
    """An early fraud warning of a card network about a charge."""

    id: str
    charge_id: str
    kind: str
    actionable: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """That something happened to an object: which, when. What it is now is fetched."""

    id: str
    type: str
    object_id: str
    livemode: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TaxQuote:
    """Tax on a purchase, calculated by the provider; good for 90 days."""

    id: str
    tax: int
    rate_ppm: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a list, and whether there is more behind it."""

    items: tuple[Item, ...]
    has_more: bool


class StripeGateway(Protocol):
    """The calls. Each raises PaymentUnknown (no answer, 429, 5xx) or StripeRefused (a refusal)."""

    livemode: bool

    def read_event(self, body: bytes, signature: str, now: datetime) -> StripeEvent:
        """Verify a webhook's signature over its raw body and read it.

        Raises:
            InvalidArgument: a wrong, missing or old signature, or no event.
        """

    async def make_customer(self, workspace: str, details: CustomerDetails, *, key: str) -> str:
        """Make the customer of a workspace; return its id."""

    async def update_customer(self, customer_id: str, details: CustomerDetails) -> None:
        """Change what is known of a customer; its tax id is another call's."""

    async def set_tax_id(self, customer_id: str, tax_id: TaxId | None) -> None:
        """Let a customer have this tax id and no other."""

    async def make_checkout(  # noqa: PLR0913 - the fields of the call
        self,
        *,
        payment: str,
        customer_id: str,
        net: int,
        tax: int,
        currency: str,
        automatic_tax: bool,
        keeps_place: bool,
        saves_card: bool,
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> Checkout:
        """Make a Checkout Session, on whose page the customer pays.

        With automatic tax, `keeps_place` lets its page ask where the customer is, and keeps that
        with the customer; else what is known of the customer counts, and has to suffice.
        """

    async def get_checkout(self, session_id: str) -> Checkout:
        """Fetch a Checkout Session."""

    async def charge_card(
        self,
        *,
        payment: str,
        customer_id: str,
        method_id: str,
        amount: int,
        currency: str,
        tax_calculation: str,
        key: str,
    ) -> Intent:
        """Charge a saved card while the customer is away; a decline is an intent that failed."""

    async def get_intent(self, intent_id: str) -> Intent:
        """Fetch a PaymentIntent with its latest charge and that charge's balance transaction."""

    async def find_intents(
        self, customer_id: str, payment: str, *, since: datetime
    ) -> Sequence[Intent]:
        """Find the PaymentIntents made since a moment that name a payment of ours."""

    async def cancel_intent(self, intent_id: str) -> Intent:
        """Cancel a PaymentIntent that has not succeeded."""

    async def forget_card(self, method_id: str) -> None:
        """Detach a saved card; one that is gone already is fine."""

    async def quote_tax(self, *, net: int, currency: str, customer_id: str) -> TaxQuote:
        """Calculate the tax of a purchase by the customer's address."""

    async def make_refund(
        self, *, refund: str, intent_id: str, amount: int, key: str
    ) -> StripeRefund:
        """Refund a part or all of a payment."""

    async def get_refund(self, stripe_id: str) -> StripeRefund:
        """Fetch a refund with its balance transactions."""

    async def list_refunds(self, intent_id: str) -> Sequence[StripeRefund]:
        """Fetch all refunds of a payment."""

    async def get_dispute(self, stripe_id: str) -> StripeDispute:
        """Fetch a dispute with its balance transactions."""

    async def send_evidence(
        self, stripe_id: str, evidence: Mapping[str, str], *, submit: bool
    ) -> StripeDispute:
        """Give evidence to a dispute; submitted evidence is final."""

    async def get_warning(self, stripe_id: str) -> StripeWarning:
        """Fetch an early fraud warning."""

    async def list_events(self, *, since: datetime, after: str) -> Page[StripeEvent]:
        """Fetch events since a moment, newest first, older than the event `after` if not empty."""

    async def balance(self) -> Mapping[str, int]:
        """Fetch our balance, available and pending together, by currency."""

    async def list_balance_transactions(
        self, *, since: datetime, after: str
    ) -> Page[BalanceTransaction]:
        """Fetch movements of our balance since a moment, newest first."""

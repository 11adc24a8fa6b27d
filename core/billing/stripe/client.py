"""The provider's SDK behind our gateway: the only module that calls it.

Keys, time limits and retries are ours. The provider's texts stay here: an error leaves as one of
two situations, with a code of the provider's at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import httpx
import stripe
from stripe.params import (
    BalanceTransactionListParams,
    CustomerCreateParams,
    CustomerCreateParamsAddress,
    CustomerUpdateParams,
    DisputeUpdateParamsEvidence,
    EventListParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    RefundListParams,
)
from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

from core.billing.stripe import reading
from core.billing.stripe.gateway import (
    GONE,
    Address,
    BalanceTransaction,
    Checkout,
    CustomerDetails,
    Intent,
    Page,
    PaymentUnknown,
    StripeDispute,
    StripeEvent,
    StripeRefund,
    StripeRefused,
    StripeWarning,
    TaxId,
    TaxQuote,
)
from core.billing.stripe.settings import is_live
from core.billing.stripe.signatures import checked_body
from kit.clock import to_micros
from kit.reasons import InvalidArgument

CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 25.0
RETRIES_MAX: Final = 2
"""Of the network and of 409 and 5xx, each with the same key (docs.stripe.com/error-low-level)."""
LIST_PAGE: Final = 100
SEARCH_PAGES_MAX: Final = 20
PRODUCT: Final = "Prepaid API credits"
TAX: Final = "Tax"
_CHARGED: Final = ["latest_charge.balance_transaction"]
_TAXED: Final = ["total_details.breakdown"]
_REFUNDED: Final = ["balance_transaction", "failure_balance_transaction"]

Value = TypeVar("Value")


class StripeAdapter:
    """The gateway of `gateway.py` by the provider's SDK."""

    def __init__(
        self,
        key: str,
        secrets: Sequence[str],
        *,
        base_url: str | None = None,
        retries: int = RETRIES_MAX,
    ) -> None:
        """Take our key and the webhook's secrets, newest first; `base_url` is of drills.

        Raises:
            ValueError: a key or a secret is empty: anybody could sign with that.
        """
        if not key or not secrets or not all(secret.strip() for secret in secrets):
            raise ValueError
        self._secrets = tuple(secrets)
        self.livemode = is_live(key)
        timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
        self._http = stripe.HTTPXClient(timeout=timeout)
        self._client = stripe.StripeClient(
            key,
            base_addresses={} if base_url is None else {"api": base_url},
            max_network_retries=retries,
            http_client=self._http,
        )
        self._v1 = self._client.v1

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK's

    def read_event(self, body: bytes, signature: str, now: datetime) -> StripeEvent:
        """Verify a webhook's signature over its raw body and read it; see the gateway."""
        answer = checked_body(body, signature, self._secrets, now)
        try:
            event = reading.event_of(answer)
            # We have no connected accounts: an event of one is not for us.
            is_other = bool(answer.get("account") or answer.get("context"))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise InvalidArgument(fields="body") from None
        if is_other:
            raise InvalidArgument(fields="body.account")
        return event

    async def make_customer(self, workspace: str, details: CustomerDetails, *, key: str) -> str:
        """Make the customer of a workspace, without its tax id; return its id."""
        wanted: CustomerCreateParams = {"metadata": {reading.WORKSPACE_KEY: workspace}}
        if details.name or details.email:
            wanted |= {"name": details.name, "email": details.email}
        if details.address is not None and details.address.country:
            wanted["address"] = _address(details.address)
        made = self._v1.customers.create_async(wanted, {"idempotency_key": key})
        return await _read(made, lambda answer: reading.identifier(answer["id"]))

    async def update_customer(self, customer_id: str, details: CustomerDetails) -> None:
        """Change what is known of a customer; its tax id is another call's."""
        wanted: CustomerUpdateParams = {"name": details.name, "email": details.email}
        if details.address is not None:
            wanted["address"] = _address(details.address) if details.address.country else ""
        await _read(self._v1.customers.update_async(customer_id, wanted), lambda _: None)

    async def set_tax_id(self, customer_id: str, tax_id: TaxId | None) -> None:
        """Let a customer have this tax id and no other.

        The old one goes first: if the new one is refused, nobody is spared tax by what they had.
        """
        tax_ids = self._v1.customers.tax_ids
        found, _ = await _read(
            tax_ids.list_async(customer_id, {"limit": LIST_PAGE}), reading.pages_of
        )
        known = {each["id"]: TaxId(str(each["type"]), str(each["value"])) for each in found}
        for name in [name for name, each in known.items() if each != tax_id]:
            try:
                await _read(tax_ids.delete_async(customer_id, name), lambda _: None)
            except StripeRefused as refusal:
                if refusal.code != GONE:  # somebody else was faster
                    raise
        if tax_id is not None and tax_id not in known.values():
            made = tax_ids.create_async(customer_id, {"type": tax_id.kind, "value": tax_id.value})
            await _read(made, lambda _: None)

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
        """Make a Checkout Session, on whose page the customer pays; see the gateway."""
        parts = [(PRODUCT, net), (TAX, tax)]
        wanted: SessionCreateParams = {
            "mode": "payment",
            "customer": customer_id,
            "line_items": [_line(name, amount, currency) for name, amount in parts if amount],
            # Prices in the customer's own currency would be converted by somebody else's rate.
            "adaptive_pricing": {"enabled": False},
            "metadata": {reading.PAYMENT_KEY: payment},
            "payment_intent_data": {"metadata": {reading.PAYMENT_KEY: payment}},
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if saves_card:
            wanted["payment_intent_data"]["setup_future_usage"] = "off_session"
        if automatic_tax:
            wanted["automatic_tax"] = {"enabled": True}
            wanted["expand"] = _TAXED
            if keeps_place:
                wanted["customer_update"] = {"address": "auto"}
        made = self._v1.checkout.sessions.create_async(wanted, {"idempotency_key": key})
        return await _read(made, reading.checkout_of)

    async def get_checkout(self, session_id: str) -> Checkout:
        """Fetch a Checkout Session."""
        found = self._v1.checkout.sessions.retrieve_async(session_id, {"expand": _TAXED})
        return await _read(found, reading.checkout_of)

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
        wanted: PaymentIntentCreateParams = {
            "amount": amount,
            "currency": currency,
            "customer": customer_id,
            "payment_method": method_id,
            "off_session": True,
            "confirm": True,
            # Nobody is there who could be sent to a bank's page.
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "description": PRODUCT,
            "metadata": {reading.PAYMENT_KEY: payment},
            "expand": _CHARGED,
        }
        if tax_calculation:
            wanted["hooks"] = {"inputs": {"tax": {"calculation": tax_calculation}}}
        made = self._v1.payment_intents.create_async(wanted, {"idempotency_key": key})
        try:
            return await _answered(made, reading.intent_of)
        except stripe.CardError as error:
            return _declined(error)
        except stripe.StripeError as error:
            raise _situation(error) from None

    async def get_intent(self, intent_id: str) -> Intent:
        """Fetch a PaymentIntent with its latest charge and that charge's balance transaction."""
        found = self._v1.payment_intents.retrieve_async(intent_id, {"expand": _CHARGED})
        return await _read(found, reading.intent_of)

    async def find_intents(
        self, customer_id: str, payment: str, *, since: datetime
    ) -> Sequence[Intent]:
        """Find the PaymentIntents that name a payment of ours.

        Lists those of the customer since a moment, newest first: the provider's search lags behind
        what it made.
        """
        intents = self._v1.payment_intents

        async def page(after: str) -> stripe.ListObject[stripe.PaymentIntent]:
            wanted: PaymentIntentListParams = {
                "customer": customer_id,
                "created": {"gte": _seconds(since)},
                "limit": LIST_PAGE,
            }
            if after:
                wanted["starting_after"] = after
            return await intents.list_async(wanted)

        ids = [
            reading.identifier(each["id"])
            for each in await _every(page)
            if (each.get("metadata") or {}).get(reading.PAYMENT_KEY) == payment
        ]
        return [await self.get_intent(intent_id) for intent_id in ids]

    async def cancel_intent(self, intent_id: str) -> Intent:
        """Cancel a PaymentIntent that has not succeeded."""
        done = self._v1.payment_intents.cancel_async(intent_id, {"expand": _CHARGED})
        return await _read(done, reading.intent_of)

    async def forget_card(self, method_id: str) -> None:
        """Detach a saved card; one that is gone already is fine."""
        try:
            await _read(self._v1.payment_methods.detach_async(method_id), lambda _: None)
        except StripeRefused:
            return

    async def quote_tax(self, *, net: int, currency: str, customer_id: str) -> TaxQuote:
        """Calculate the tax of a purchase by the customer's address."""
        made = self._v1.tax.calculations.create_async(
            {
                "currency": currency,
                "customer": customer_id,
                "line_items": [
                    {"amount": net, "reference": "credits", "tax_behavior": "exclusive"}
                ],
            }
        )
        return await _read(made, reading.quote_of)

    async def make_refund(
        self, *, refund: str, intent_id: str, amount: int, key: str
    ) -> StripeRefund:
        """Refund a part or all of a payment."""
        made = self._v1.refunds.create_async(
            {
                "payment_intent": intent_id,
                "amount": amount,
                "metadata": {reading.REFUND_KEY: refund},
                "expand": _REFUNDED,
            },
            {"idempotency_key": key},
        )
        return await _read(made, reading.refund_of)

    async def get_refund(self, stripe_id: str) -> StripeRefund:
        """Fetch a refund with its balance transactions."""
        found = self._v1.refunds.retrieve_async(stripe_id, {"expand": _REFUNDED})
        return await _read(found, reading.refund_of)

    async def list_refunds(self, intent_id: str) -> Sequence[StripeRefund]:
        """Fetch all refunds of a payment."""
        refunds = self._v1.refunds

        async def page(after: str) -> stripe.ListObject[stripe.Refund]:
            wanted: RefundListParams = {
                "payment_intent": intent_id,
                "limit": LIST_PAGE,
                "expand": [f"data.{field}" for field in _REFUNDED],
            }
            if after:
                wanted["starting_after"] = after
            return await refunds.list_async(wanted)

        return _parsed(await _every(page), reading.refund_of)

    async def get_dispute(self, stripe_id: str) -> StripeDispute:
        """Fetch a dispute with its balance transactions."""
        return await _read(self._v1.disputes.retrieve_async(stripe_id), reading.dispute_of)

    async def send_evidence(
        self, stripe_id: str, evidence: Mapping[str, str], *, submit: bool
    ) -> StripeDispute:
        """Give evidence to a dispute; submitted evidence is final."""
        fields = cast("DisputeUpdateParamsEvidence", dict(evidence))
        sent = self._v1.disputes.update_async(stripe_id, {"evidence": fields, "submit": submit})
        return await _read(sent, reading.dispute_of)

    async def get_warning(self, stripe_id: str) -> StripeWarning:
        """Fetch an early fraud warning."""
        return await _read(
            self._v1.radar.early_fraud_warnings.retrieve_async(stripe_id), reading.warning_of
        )

    async def list_events(self, *, since: datetime, after: str) -> Page[StripeEvent]:
        """Fetch events since a moment, newest first, older than the event `after` if not empty."""
        wanted: EventListParams = {"created": {"gte": _seconds(since)}, "limit": LIST_PAGE}
        if after:
            wanted["starting_after"] = after
        found = self._v1.events.list_async(wanted)
        return await _read(found, lambda answer: _page(answer, reading.event_of))

    async def balance(self) -> Mapping[str, int]:
        """Fetch our balance, available and pending together, by currency."""
        return await _read(self._v1.balance.retrieve_async(), reading.balance_of)

    async def list_balance_transactions(
        self, *, since: datetime, after: str
    ) -> Page[BalanceTransaction]:
        """Fetch movements of our balance since a moment, newest first."""
        wanted: BalanceTransactionListParams = {
            "created": {"gte": _seconds(since)},
            "limit": LIST_PAGE,
        }
        if after:
            wanted["starting_after"] = after
        found = self._v1.balance_transactions.list_async(wanted)
        return await _read(found, lambda answer: _page(answer, reading.movement_of))


def _seconds(moment: datetime) -> int:
    return to_micros(moment) // 1_000_000


def _address(address: Address) -> CustomerCreateParamsAddress:
    return {
        "country": address.country,
        "line1": address.line1,
        "line2": address.line2,
        "postal_code": address.postal_code,
    }


def _line(name: str, amount: int, currency: str) -> SessionCreateParamsLineItem:
    return {
        "quantity": 1,
        "price_data": {
            "currency": currency,
            "unit_amount": amount,
            "tax_behavior": "exclusive",
            "product_data": {"name": name},
        },
    }


async def _read(
    call: Awaitable[stripe.StripeObject], parse: Callable[[reading.Answer], Value]
) -> Value:
    """Wait for an answer and read it.

    Raises:
        PaymentUnknown, StripeRefused
    """
    try:
        return await _answered(call, parse)
    except stripe.StripeError as error:
        raise _situation(error) from None


async def _answered(
    call: Awaitable[stripe.StripeObject], parse: Callable[[reading.Answer], Value]
) -> Value:
    answer: dict[str, Any] = (await call).to_dict()
    return _parsed([answer], parse)[0]


def _parsed(answers: Sequence[Any], parse: Callable[[reading.Answer], Value]) -> list[Value]:
    """Read answers; one that is not as documented says nothing about what was done."""
    try:
        return [parse(answer) for answer in answers]
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise PaymentUnknown(code="unreadable") from None


def _page(answer: reading.Answer, parse: Callable[[reading.Answer], Value]) -> Page[Value]:
    items, has_more = reading.pages_of(answer)
    return Page(tuple(parse(item) for item in items), has_more)


async def _every(page: Callable[[str], Awaitable[stripe.StripeObject]]) -> list[reading.Answer]:
    """Read all pages of a list.

    Raises:
        PaymentUnknown: it is longer than we look through, so that a search proves nothing.
    """
    found: list[reading.Answer] = []
    for _ in range(SEARCH_PAGES_MAX):
        after = reading.identifier(found[-1]["id"]) if found else ""
        items, has_more = await _read(page(after), reading.pages_of)
        found += items
        if not has_more:
            return found
    raise PaymentUnknown(code="list_too_long")


def _declined(error: stripe.CardError) -> Intent:
    """Return the intent that a decline leaves behind; without one the call was refused."""
    body = error.json_body if isinstance(error.json_body, Mapping) else {}
    left = (body.get("error") or {}).get("payment_intent")
    if not isinstance(left, Mapping):
        raise _situation(error) from None
    return _parsed([left], reading.intent_of)[0]


def _situation(error: stripe.StripeError) -> PaymentUnknown | StripeRefused:
    """Say what an error means: refused, and nothing was done; or we cannot know.

    A key that was used with other content has made something, and one that is wrong says nothing of
    the calls before it: both are for an operator, and neither is a refusal of this payment.
    """
    code = reading.word(error.code)
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError):
        return StripeRefused(code=code or "refused")
    return PaymentUnknown(code=code or "no_answer")

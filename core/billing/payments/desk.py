"""Payments with the provider: rows first, then its calls, then what became of them.

No transaction is open while the provider is called. Whatever was cut off on the way is taken up by
`work`, which the core process runs every second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.audit import Act
from core.billing.accounts import service as accounts
from core.billing.accounts import store as account_store
from core.billing.accounts.model import BillingAccount, Profile
from core.billing.documents.issue import Documents
from core.billing.documents.model import TaxMode
from core.billing.faults import Faults
from core.billing.parking import NotKnownYet
from core.billing.payments import buying, leftovers, store
from core.billing.payments.applying import apply
from core.billing.payments.calls import Leftovers, content_key, in_time
from core.billing.payments.customers import Customers
from core.billing.payments.model import (
    GIVEN_UP_ANYWAY_AFTER,
    PREFIX,
    SEARCH_MARGIN,
    Outcome,
    Payment,
    PaymentKind,
    PaymentState,
    outcome_of,
)
from core.billing.payments.sending import Verdict, claim, claim_page, is_over
from core.billing.stripe.gateway import (
    NO_PLACE,
    Checkout,
    Intent,
    IntentStatus,
    PaymentUnknown,
    StripeGateway,
    StripeRefused,
)
from core.db.database import Pool
from core.mail import outbox
from kit.clock import Clock, now
from kit.ids import IdSource, InvalidIdError, format_id, parse_id
from kit.log import EventLog
from kit.reasons import DomainError

ACTOR: Final = "core.payments"
PER_ROUND_MAX: Final = 50
YOUNG_SECONDS: Final = 120
"""A call that makes a payment takes less, retries and all; then the janitor may take it up."""
SHORTEST_SECONDS: Final = 60
LONGEST_SECONDS: Final = 3_600
"""An open payment is looked at after a minute, then after a quarter of its age, at most an hour."""


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """Where browsers come back to, and how tax is found."""

    public_url: str
    tax_mode: TaxMode = TaxMode.NONE
    tax_rate_ppm: int = 0

    @property
    def success_url(self) -> str:
        """Return where the provider's page leads after a payment; it puts its id in."""
        return f"{self.public_url}/billing/return?session_id={{CHECKOUT_SESSION_ID}}"

    @property
    def cancel_url(self) -> str:
        """Return where the provider's page leads who does not pay."""
        return f"{self.public_url}/billing/return"


class PaymentDesk:
    """Makes payments and finds out what became of them."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        documents: Documents,
        terms: PaymentTerms,
    ) -> None:
        """Work on the pool's database and with the provider."""
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._log = log
        self._documents = documents
        self._terms = terms
        self._faults = Faults(pool, clock, ids, log, ACTOR)
        self._customers = Customers(pool, gateway, clock, log, terms.tax_mode)
        self._leftovers = Leftovers(pool, gateway, clock, ids, log, ACTOR)

    async def buy(self, act: Act, wanted: buying.Wanted) -> Payment:
        """Make a payment on the provider's page, or by the saved card; the same request, the same.

        Raises:
            InvalidArgument, AmountOutOfRange: not an amount that we sell.
            NotFound, WorkspaceNotActive: no such workspace, or a closed one.
            RequestIdReused: the request id was used for something else.
            InvalidState: no card is saved.
            PaymentUnknown: the provider's page could not be had; the same call may be repeated.
            StripeRefused: the provider refused to make a page.
        """
        async with self._pool.transaction("system") as tx:
            payment = await buying.begin(tx, act, wanted, self._terms.tax_mode, self._rate)
            await tx.commit()
        if payment.state is not PaymentState.CREATED:
            return payment
        if wanted.kind is PaymentKind.CHECKOUT:
            return await self._open_page(payment)
        try:
            # A call that was made before is looked for before it is made again.
            is_new = payment.sent_at is None
            return await (self._charge(payment) if is_new else self._charge_again(payment))
        except PaymentUnknown as error:
            # It is written down: the janitor finds out, and nobody has to ask twice.
            self._log.event("payment_unknown", payment=payment.name, code=_code(error))
            return payment

    async def top_up(self, workspace_id: bytes) -> Payment | None:
        """Buy credit for a workspace that has run short, unless that is being done already."""
        async with self._pool.transaction("system") as tx:
            payment = await buying.begin_automatic(
                tx, self._act(), workspace_id, self._terms.tax_mode, self._rate
            )
            await tx.commit()
        return None if payment is None else await self._charge(payment)

    async def top_up_all(self) -> int:
        """Buy credit for all that have run short; return for how many that was tried."""
        async with self._pool.transaction("system") as tx:
            short = await store.short_of_credit(tx, now(self._clock), limit=PER_ROUND_MAX)
        for workspace_id in short:
            await self._faults.guard(format_id("ws", workspace_id), self.top_up(workspace_id))
        return len(short)

    async def update_profile(
        self, act: Act, workspace_id: bytes, profile: Profile
    ) -> BillingAccount:
        """Replace whom receipts name, and what the provider knows of it.

        Raises:
            NotFound: no such workspace.
            InvalidArgument: tax cannot be calculated by it, or (written here all the same) the
                provider does not take its email address, address or tax id.
            StripeRefused: written here all the same, the provider does not take something else.
            PaymentUnknown: it is written here, but the provider does not answer: to be repeated.
        """
        self._customers.check(profile)
        async with self._pool.transaction("system") as tx:
            account = await accounts.update_profile(tx, act, workspace_id, profile)
            await tx.commit()
        if account.customer_id:
            await self._customers.update(account.customer_id, profile)
        return account

    async def remove_card(self, act: Act, workspace_id: bytes) -> BillingAccount:
        """Forget the saved card, here first: what the provider says to it changes nothing."""
        async with self._pool.transaction("system") as tx:
            before, after = await accounts.remove_card(tx, act, workspace_id)
            if before.method_id:
                await leftovers.keep_card(tx, before.method_id, act.now)
            await tx.commit()
        await self._leftovers.detach_cards()
        return after

    async def converge_intent(self, intent_id: str) -> None:
        """Move the payment of a PaymentIntent to what that has become.

        Raises:
            PaymentUnknown: the provider does not answer.
            NotKnownYet: we have no such payment, yet.
        """
        intent = await self._gateway.get_intent(intent_id)
        payment = await self._named(intent.payment_id)
        if payment is not None:
            await self._settle(payment, intent)

    async def converge_checkout(self, session_id: str) -> None:
        """Move the payment of a Checkout Session to what that has become; raises as above."""
        checkout = await self._gateway.get_checkout(session_id)
        payment = await self._named(checkout.payment_id)
        if payment is None:
            return
        if not payment.session_id:
            # We died between the provider's answer and our row.
            payment = await self._keep_page(payment, checkout)
        await self._settle(payment)

    async def converge_customer(self, customer_id: str) -> None:
        """Forget a customer that was deleted at the provider."""
        async with self._pool.transaction("system") as tx:
            whose = await account_store.workspace_of_customer(tx, customer_id)
            if whose is not None:
                await accounts.customer_is_gone(tx, self._act(), whose, customer_id)
            await tx.commit()

    async def converge_method(self, method_id: str) -> None:
        """Forget a card that was removed at the provider."""
        async with self._pool.transaction("system") as tx:
            for workspace_id in await account_store.workspaces_of_method(tx, method_id):
                await accounts.card_is_gone(tx, self._act(), workspace_id, method_id)
            await tx.commit()

    async def work(self) -> int:
        """Find out about open payments that nobody told us of; return how many were looked at."""
        async with self._pool.transaction("system") as tx:
            due = await store.take_due(
                tx,
                now(self._clock),
                young_seconds=YOUNG_SECONDS,
                shortest_seconds=SHORTEST_SECONDS,
                longest_seconds=LONGEST_SECONDS,
                limit=PER_ROUND_MAX,
            )
            await tx.commit()
        for payment in due:
            await self._faults.guard(payment.name, self._take_up(payment))
        await self._leftovers.work()
        return len(due)

    async def _take_up(self, payment: Payment) -> Payment:
        if payment.state is PaymentState.NEEDS_ACTION and not payment.session_id:
            return await self._ask_owner(payment)
        if payment.session_id or payment.intent_id:
            return await self._settle(payment)
        if payment.kind is PaymentKind.CHECKOUT:
            return await self._open_page(payment)
        return await self._charge_again(payment)

    async def _charge_again(self, payment: Payment) -> Payment:
        """Settle a charge whose call was never answered: look for it before it is made again."""
        found = await self._find(payment)
        paid = [one for one in found if one.status is IntentStatus.SUCCEEDED]
        for intent in [*paid, *found][:1]:
            return await self._settle(payment, intent)
        return await self._charge(payment)

    async def _find(self, payment: Payment) -> Sequence[Intent]:
        since = payment.created_at - SEARCH_MARGIN
        try:
            return await self._gateway.find_intents(payment.customer_id, payment.name, since=since)
        except PaymentUnknown:
            if now(self._clock) - payment.created_at <= GIVEN_UP_ANYWAY_AFTER:
                raise
            return []

    async def _claim(self, payment: Payment) -> tuple[Payment, bool]:
        """Say whether the call of a payment may be made now; it is written down then."""
        async with self._pool.transaction("system") as tx:
            act = self._act()
            stands, verdict = await claim(tx, payment, act.now)
            if verdict in {Verdict.WITHDRAWN, Verdict.GIVEN_UP}:
                failed = Outcome(PaymentState.FAILED, verdict.value)
                stands = await apply(tx, act, stands, failed, self._documents)
            await tx.commit()
        return stands, verdict is Verdict.SEND

    async def _settle(self, payment: Payment, intent: Intent | None = None) -> Payment:
        """Fetch what there is of a payment and apply it."""
        checkout = None
        if payment.session_id:
            checkout = await self._gateway.get_checkout(payment.session_id)
        intent = await self._deciding(payment, checkout, intent)
        outcome = outcome_of(payment, checkout, intent, livemode=self._gateway.livemode)
        return await self._apply(payment, outcome)

    async def _deciding(
        self, payment: Payment, checkout: Checkout | None, told: Intent | None
    ) -> Intent | None:
        """Return the intent that decides: one that was paid, else that of the page."""
        if told is not None and told.status is IntentStatus.SUCCEEDED:
            return told
        wanted = payment.intent_id if checkout is None else checkout.intent_id
        if told is not None and (checkout is None or told.id == wanted):
            return told
        return await self._gateway.get_intent(wanted) if wanted else None

    async def _apply(self, payment: Payment, outcome: Outcome) -> Payment:
        async with self._pool.transaction("system") as tx:
            after = await apply(tx, self._act(), payment, outcome, self._documents)
            await tx.commit()
        if after.state is PaymentState.NEEDS_ACTION and not after.session_id:
            return await self._ask_owner(after)
        return after

    async def _open_page(self, payment: Payment) -> Payment:
        try:
            payment = await self._customers.give(payment)
            payment, may_be_made = await self._claim(payment)
            if not may_be_made:
                return payment
            checkout = await self._make_page(payment, payment.key)
        except StripeRefused as refusal:
            await self._apply(payment, Outcome(PaymentState.FAILED, _code(refusal)))
            raise
        return await self._keep_page(payment, checkout)

    async def _make_page(self, payment: Payment, key: str) -> Checkout:
        return await in_time(self._placed_page(payment, key))

    async def _placed_page(self, payment: Payment, key: str) -> Checkout:
        """Make a page that asks where the customer is only if their profile does not say it.

        What it asks for is kept with the customer, in place of what came from the profile.
        """
        if await self._customers.has_place(payment):
            try:
                return await self._page(payment, key, keeps_place=False)
            except StripeRefused as refusal:
                if refusal.code != NO_PLACE:
                    raise
                # Named when we calculated tax ourselves, or nowhere that the provider knows.
        return await self._page(payment, key, keeps_place=True)

    async def _page(self, payment: Payment, key: str, *, keeps_place: bool) -> Checkout:
        # What the row does not pin is in the key: it changes between two tries.
        content = [self._terms.success_url, self._terms.cancel_url]
        return await self._gateway.make_checkout(
            payment=payment.name,
            customer_id=payment.customer_id,
            net=payment.net,
            # The provider adds its own there, whatever was calculated for the charge before.
            tax=0 if payment.tax_mode is TaxMode.STRIPE else payment.tax,
            currency=payment.currency,
            automatic_tax=payment.tax_mode is TaxMode.STRIPE,
            keeps_place=keeps_place,
            saves_card=payment.saves_card,
            success_url=self._terms.success_url,
            cancel_url=self._terms.cancel_url,
            key=content_key(key, *content, *([] if keeps_place else ["known place"])),
        )

    async def _keep_page(self, payment: Payment, checkout: Checkout) -> Payment:
        async with self._pool.transaction("system") as tx:
            moment = now(self._clock)
            await store.set_page(
                tx, payment.payment_id, session=checkout.id, url=checkout.url, now=moment
            )
            payment = await store.get(tx, payment.payment_id)
            await tx.commit()
        return payment

    async def _charge(self, payment: Payment) -> Payment:
        """Charge the saved card; what the provider refuses has failed."""
        try:
            if not is_over(payment, now(self._clock)):
                payment = await self._with_tax(payment)
            payment, may_be_made = await self._claim(payment)
            if not may_be_made:
                return payment
            intent = await in_time(
                self._gateway.charge_card(
                    payment=payment.name,
                    customer_id=payment.customer_id,
                    method_id=payment.method_id,
                    amount=payment.total,
                    currency=payment.currency,
                    tax_calculation=payment.tax_calculation_id,
                    key=payment.key,
                )
            )
        except StripeRefused as refusal:
            return await self._apply(payment, Outcome(PaymentState.FAILED, _code(refusal)))
        outcome = outcome_of(payment, None, intent, livemode=self._gateway.livemode)
        return await self._apply(payment, outcome)

    async def _with_tax(self, payment: Payment) -> Payment:
        """Let the provider calculate the tax, once: the same key must repeat the same amount."""
        if payment.tax_mode is not TaxMode.STRIPE or payment.tax_calculation_id:
            return payment
        quote = await self._gateway.quote_tax(
            net=payment.net, currency=payment.currency, customer_id=payment.customer_id
        )
        async with self._pool.transaction("system") as tx:
            await store.set_tax(
                tx,
                payment.payment_id,
                tax=quote.tax,
                rate_ppm=quote.rate_ppm,
                calculation=quote.id,
                now=now(self._clock),
            )
            payment = await store.get(tx, payment.payment_id)
            await tx.commit()
        return payment

    async def _ask_owner(self, payment: Payment) -> Payment:
        """Let the card's owner confirm on the provider's page what the bank would not do alone.

        The charge is cancelled first, so that no two can go through. Who claims it makes the page
        and the letter; everybody else finds them there.
        """
        async with self._pool.transaction("system") as tx:
            payment, is_ours = await claim_page(tx, payment, now(self._clock))
            await tx.commit()
        if not is_ours:
            return payment
        if payment.intent_id:
            intent = await self._without_charge(payment.intent_id)
            if intent.status is not IntentStatus.CANCELED:
                outcome = outcome_of(payment, None, intent, livemode=self._gateway.livemode)
                async with self._pool.transaction("system") as tx:
                    payment = await apply(tx, self._act(), payment, outcome, self._documents)
                    await tx.commit()
                return payment
        try:
            page = await self._make_page(payment, payment.page_key)
        except StripeRefused as refusal:
            return await self._apply(payment, Outcome(PaymentState.FAILED, _code(refusal)))
        async with self._pool.transaction("system") as tx:
            act = self._act()
            is_new = await store.set_page(
                tx, payment.payment_id, session=page.id, url=page.url, now=act.now
            )
            if is_new and payment.kind is PaymentKind.AUTOMATIC:
                whose, about = payment.workspace_id, payment.payment_id
                await outbox.put(tx, act, whose, "top_up_needs_you", about)
            payment = await store.get(tx, payment.payment_id)
            await tx.commit()
        return payment

    async def _without_charge(self, intent_id: str) -> Intent:
        try:
            return await self._gateway.cancel_intent(intent_id)
        except StripeRefused:  # it is over already, one way or the other
            return await self._gateway.get_intent(intent_id)

    async def _named(self, name: str) -> Payment | None:
        """Return our payment that one of the provider's objects names; None if it is not ours.

        Raises:
            NotKnownYet: the row is not there yet.
        """
        try:
            payment_id = parse_id(PREFIX, name)
        except InvalidIdError:
            return None
        async with self._pool.transaction("system") as tx:
            payment = await store.find(tx, payment_id)
        if payment is None:
            raise NotKnownYet(payment=name)
        return payment

    @property
    def _rate(self) -> int:
        return self._terms.tax_rate_ppm

    def _act(self) -> Act:
        return Act(ACTOR, now(self._clock), self._ids)


def _code(error: DomainError) -> str:
    return error.metadata.get("code", "") or "unknown"

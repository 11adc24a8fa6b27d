"""The machine with the payment provider: purchases, refunds, disputes, webhooks in any order."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import rule

from core.billing.payments.model import PaymentKind
from core.billing.refunds import store as refund_store
from core.billing.refunds.model import RefundState
from kit.money import NANOS_PER_CENT
from kit.reasons import DomainError
from tests.simulation.auditor import Given
from tests.simulation.machine import CRASHES, PLACES, Machine
from tests.simulation.provider import Provider
from tests.simulation.world import World
from tests.support.stripe import StripeSimulator

Result = TypeVar("Result")
CENTS: Final = st.sampled_from([500, 1_000, 2_500])
CARDS: Final = st.sampled_from(
    ["4242424242424242", "4242424242424242", "4000000000000002", "4000000000009995"]
)
SAVED_CARDS: Final = st.sampled_from(
    ["pm_card_visa", "pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired"]
)
AUTO_CENTS: Final = 1_000
LIVES: Final = st.sampled_from(
    [
        *("kept", "spent", "refunded", "spent refunded"),
        *("disputed", "disputed won", "disputed lost", "spent disputed lost"),
    ]
)


class ProviderMachine(Machine):
    """Everything that happens to bought credit, on top of edges that spend it."""

    simulator: ClassVar[StripeSimulator]

    async def begin(self) -> World:
        """Start with an account at the provider."""
        return await World.start(self.dsn, self.simulator)

    @property
    def provider(self) -> Provider:
        """Return the provider's side of the world."""
        assert self.world.provider is not None
        return self.world.provider

    @rule(place=PLACES, cents=CENTS, saves_card=st.booleans(), crash=CRASHES)
    def open_page(
        self, *, place: int, cents: int, saves_card: bool, crash: tuple[int, bool]
    ) -> None:
        """A customer wants to buy on the provider's page."""
        self._buy(place, PaymentKind.CHECKOUT, cents, saves_card=saves_card, crash=crash)

    @rule(place=PLACES, cents=CENTS, crash=CRASHES)
    def charge_card(self, *, place: int, cents: int, crash: tuple[int, bool]) -> None:
        """A customer wants to buy with the saved card."""
        self._buy(place, PaymentKind.SAVED_CARD, cents, saves_card=False, crash=crash)

    @rule(place=PLACES, card=CARDS, later=st.sampled_from([False, False, True]))
    def pay(self, *, place: int, card: str, later: bool) -> None:
        """Somebody pays on an open page, by card or by bank debit, or tries to."""
        self.steps["pay"] += 1
        session = self.provider.some("checkout.session", place, status="open")
        if session is not None:
            how: dict[str, Any] = {"async": True} if later else {"card": card}
            self.provider.order(f"checkout/{session['id']}/pay", **how)

    @rule(place=PLACES, cents=CENTS, life=LIVES, heard=st.booleans(), crash=CRASHES)
    def purchase(
        self, *, place: int, cents: int, life: str, heard: bool, crash: tuple[int, bool]
    ) -> None:
        """A customer buys; then it is kept, spent, refunded or disputed; core may hear of it."""
        self._buy(place, PaymentKind.CHECKOUT, cents, saves_card=True, crash=(0, False))
        self.pay(place=-1, card="4242424242424242", later=False)
        if heard or life != "kept":
            self.webhooks(places=[*range(-8, 0)], crash=(0, False))
        if "spent" in life:
            self.serve(place=place, edge=place, tokens=9_000, overrun=False)
        if "refunded" in life:
            self.ask_refund(place=-1, cents=None, crash=crash)
            self.decide_refund(place=-1, approved=True, crash=crash)
        if "disputed" in life:
            self.dispute(place=-1, inquiry=False)
            self.webhooks(places=[*range(-4, 0)], crash=crash)
            if "won" in life or "lost" in life:
                self.bank_resolves(place=-1, status="won" if "won" in life else "lost")
                self.webhooks(places=[*range(-4, 0)], crash=crash)

    @rule(place=PLACES, succeeds=st.booleans())
    def bank_decides(self, *, place: int, succeeds: bool) -> None:
        """A bank debit succeeds or fails, days later."""
        self.steps["bank_decides"] += 1
        intent = self.provider.some("payment_intent", place, status="processing")
        if intent is not None:
            verb = "succeed" if succeeds else "fail"
            self.provider.order(f"async_payments/{intent['id']}/{verb}")

    @rule(place=PLACES, card=SAVED_CARDS)
    def save_card(self, *, place: int, card: str) -> None:
        """A workspace saves a card, and switches automatic top-up on."""
        workspace_id = self._workspace(place)
        self._run("save_card", self.provider.save_card(workspace_id, card))
        self.world.auditor.automatic[workspace_id] = AUTO_CENTS * NANOS_PER_CENT
        self._run("auto", _unless_refused(self.provider.auto(workspace_id, 300, AUTO_CENTS)))

    @rule(crash=CRASHES)
    def top_up(self, *, crash: tuple[int, bool]) -> None:
        """Core buys credit for those who have run short."""
        self._run("top_up", self.provider.payments.top_up_all(), crash)

    @rule(places=st.lists(st.integers(0, 40), min_size=1, max_size=6), crash=CRASHES)
    def webhooks(self, *, places: list[int], crash: tuple[int, bool]) -> None:
        """The provider tells of events: some, in any order, twice, long ago."""
        self._run("webhooks", self.provider.tell(places), crash)
        self._run("look_into", self.provider.inbox.work(), crash)

    @rule(crash=CRASHES)
    def janitor(self, *, crash: tuple[int, bool]) -> None:
        """Core finds out what nobody told it of."""
        self._run("janitor", self.provider.find_out(), crash)

    @rule(crash=CRASHES)
    def sweep(self, *, crash: tuple[int, bool]) -> None:
        """Core reads the provider's list of events, and its balance."""
        self._run("sweep", _unless_refused(self.provider.sweep.work()), crash)
        self._run("movements", _unless_refused(self.provider.movements.work()), crash)

    @rule(place=PLACES, cents=st.sampled_from([None, 100, 700]), crash=CRASHES)
    def ask_refund(self, *, place: int, cents: int | None, crash: tuple[int, bool]) -> None:
        """Somebody asks for money back."""
        payment_id = self._credited(place)
        key = self.world.money.ids.new().hex()
        if payment_id is not None:
            call = self.provider.ask_refund
            self._call("ask_refund", lambda: _unless_refused(call(payment_id, key, cents)), crash)

    @rule(place=PLACES, approved=st.sampled_from([True, True, False]), crash=CRASHES)
    def decide_refund(self, *, place: int, approved: bool, crash: tuple[int, bool]) -> None:
        """Finance approves or rejects a refund."""
        refund_id = self._refund(place)
        if refund_id is not None:
            decide = self.provider.decide_refund
            self._call(
                "decide_refund",
                lambda: _unless_refused(decide(refund_id, approved=approved)),
                crash,
            )

    @rule(place=PLACES, cents=st.sampled_from([None, 50, 400]))
    def dashboard_refund(self, *, place: int, cents: int | None) -> None:
        """Somebody refunds a charge on the provider's own pages."""
        self.steps["dashboard_refund"] += 1
        charge = self.provider.some("charge", place, paid=True)
        if charge is not None:
            amount = {} if cents is None else {"amount": cents}
            self.provider.order("dashboard_refund", charge=charge["id"], **amount)

    @rule(place=PLACES)
    def refund_fails(self, *, place: int) -> None:
        """A refund comes back, days later."""
        self.steps["refund_fails"] += 1
        refund = self.provider.some("refund", place, status="succeeded")
        if refund is not None:
            self.provider.order(f"refunds/{refund['id']}/fail")

    @rule(place=PLACES, inquiry=st.booleans())
    def dispute(self, *, place: int, inquiry: bool) -> None:
        """A cardholder disputes a charge."""
        self.steps["dispute"] += 1
        charge = self.provider.some("charge", place, paid=True, disputed=False)
        if charge is not None:
            self.provider.order("disputes", charge=charge["id"], inquiry=inquiry)

    @rule(place=PLACES, status=st.sampled_from(["under_review", "won", "lost", "warning_closed"]))
    def bank_resolves(self, *, place: int, status: str) -> None:
        """A bank goes on with a dispute."""
        self.steps["bank_resolves"] += 1
        dispute = self.provider.some("dispute", place)
        if dispute is not None:
            self.provider.order(f"disputes/{dispute['id']}/resolve", status=status)

    @rule(place=PLACES)
    def network_warns(self, *, place: int) -> None:
        """A card network warns of a charge."""
        self.steps["network_warns"] += 1
        charge = self.provider.some("charge", place, paid=True)
        if charge is not None:
            self.provider.order("efw", charge=charge["id"])

    @rule(kind=st.sampled_from(["drop_after_commit", "status_500", "status_429", "status_409"]))
    def provider_is_ill(self, *, kind: str) -> None:
        """The provider's next answer to a change is lost, or an error."""
        self.steps["provider_is_ill"] += 1
        self.provider.simulator.fault(kind, method="POST", count=1)

    def _buy(
        self,
        place: int,
        kind: PaymentKind,
        cents: int,
        *,
        saves_card: bool,
        crash: tuple[int, bool],
    ) -> None:
        workspace_id, key = self._workspace(place), self.world.money.ids.new().hex()
        wanted = Given(workspace_id, cents * NANOS_PER_CENT, None)
        self.world.auditor.bought[key] = wanted
        buy = self.provider.buy
        self._call(
            kind.name.lower(),
            lambda: _unless_refused(buy(workspace_id, key, kind, cents, saves_card=saves_card)),
            crash,
        )

    def _credited(self, place: int) -> bytes | None:
        rows = self.runner.run(self._rows("SELECT id FROM payment WHERE state = 4 ORDER BY id"))
        return rows[place % len(rows)].id.bytes if rows else None

    def _refund(self, place: int) -> bytes | None:
        found = self.runner.run(self._asked())
        return found[place % len(found)] if found else None

    async def _rows(self, sql: str) -> list[Any]:
        async with self.world.money.database.jobs.transaction("system") as tx:
            return list(await tx.all(sql))

    async def _asked(self) -> list[bytes]:
        async with self.world.money.database.jobs.transaction("system") as tx:
            rows = await refund_store.list_refunds(
                tx, None, int(RefundState.REQUESTED), before=b"\xff" * 16, limit=100
            )
        return [row.refund_id for row in rows]

    async def drain(self) -> None:
        """Let the provider be well, and find out about everything."""
        self.provider.simulator.no_faults()
        await super().drain()

    async def ship_all(self) -> None:
        """Ship what is left; then nothing is left to find out at the provider's either."""
        await super().ship_all()
        for edge in self.world.edges:
            await self.world.close_epoch(edge)
        await self.provider.converge()


async def _unless_refused(call: Awaitable[Result]) -> Result | None:
    """Await a call that may be refused for a reason of its caller's, or be unanswered."""
    try:
        return await call
    except DomainError:
        return None

"""The provider's balance against our clearing account.

What payments, refunds and disputes move is posted by them. Here the rest is: what the provider
keeps as fees, and what it pays out to our bank. Then both sides must be the same to the cent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.audit import Act
from core.billing.alarms import raise_alarm
from core.billing.events import store
from core.billing.events.sweep import FIRST_REACH, PAGES_PER_ROUND_MAX, Sweep
from core.billing.payments.model import CURRENCY
from core.billing.stripe.gateway import BalanceTransaction, Page, StripeGateway
from core.db.database import Pool, Transaction
from core.ledger import house
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.money import NANOS_PER_CENT

ACTOR: Final = "core.movements"
NAME: Final = "balance"
UNEXPLAINED_MAX: Final = 1_000
AT_ONCE: Final = timedelta(0)
_PAYOUTS: Final = frozenset({"payout", "payout_cancel", "payout_failure"})
_FEES: Final = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost"})
_POSTED_ELSEWHERE: Final = frozenset({"adjustment"})
"""A dispute's: its withdrawal and its fee are one posting."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides in nano-dollars, and the provider's movements that nothing of ours explains."""

    clearing: int
    balance: int
    unexplained: tuple[BalanceTransaction, ...] = ()

    @property
    def difference(self) -> int:
        """Return by how much the provider has more than the ledger says."""
        return self.balance - self.clearing


class Movements:
    """Posts fees and payouts, and compares."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        on_compared: Callable[[Comparison], None] = lambda _: None,
    ) -> None:
        """Work on the pool's database and with the provider; say what each comparison found."""
        self._on_compared = on_compared
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._log = log
        self._last_difference = 0
        self._sweep = Sweep(NAME, pool, clock, self._fetch, self._post)

    async def work(self) -> None:
        """Post what moved since the last round; after a whole round, compare both sides.

        What is under way between them may differ for a moment, so an alarm is raised for a
        difference that two rounds in a row find.

        Raises:
            PaymentUnknown: the provider does not answer; the next round goes on.
        """
        if not await self._sweep.work():
            return
        found = await self._compare()
        self._log.event(
            "stripe_compared", clearing_nanos=found.clearing, balance_nanos=found.balance
        )
        if found.difference and found.difference == self._last_difference:
            await self._raise(found)
        self._last_difference = found.difference

    async def reconcile(self) -> Comparison:
        """Post what moved, compare both sides, and list what nothing explains.

        Raises:
            PaymentUnknown: the provider does not answer.
        """
        await self._sweep.work(AT_ONCE)
        found = await self._compare()
        return Comparison(found.clearing, found.balance, await self._unexplained())

    async def _fetch(self, since: datetime, after: str) -> Page[BalanceTransaction]:
        return await self._gateway.list_balance_transactions(since=since, after=after)

    async def _post(self, items: Sequence[BalanceTransaction]) -> None:
        act = Act(ACTOR, now(self._clock), self._ids)
        async with self._pool.transaction("system") as tx:
            for item in items:
                if item.currency == CURRENCY:
                    await _book(tx, act, item)
            await tx.commit()

    async def _compare(self) -> Comparison:
        balance = await self._gateway.balance()
        async with self._pool.transaction("system") as tx:
            clearing = await store.clearing(tx)
        found = Comparison(clearing, balance.get(CURRENCY, 0) * NANOS_PER_CENT)
        self._on_compared(found)
        return found

    async def _unexplained(self) -> tuple[BalanceTransaction, ...]:
        since, after = now(self._clock) - FIRST_REACH, ""
        found: list[BalanceTransaction] = []
        for _ in range(PAGES_PER_ROUND_MAX):
            page = await self._fetch(since, after)
            async with self._pool.transaction("system") as tx:
                known = await store.explained(tx, page.items)
            found += [item for item in page.items if item.id not in known]
            if not page.has_more or not page.items or len(found) >= UNEXPLAINED_MAX:
                break
            after = page.items[-1].id
        return tuple(found[:UNEXPLAINED_MAX])

    async def _raise(self, found: Comparison) -> None:
        act = Act(ACTOR, now(self._clock), self._ids)
        async with self._pool.transaction("system") as tx:
            await raise_alarm(
                tx,
                act,
                "stripe_clearing_mismatch",
                "psp.stripe_clearing",
                expected=found.clearing,
                found=found.balance,
            )
            await tx.commit()


async def _book(tx: Transaction, act: Act, item: BalanceTransaction) -> None:
    if item.type in _PAYOUTS:
        await house.payout(tx, item.id, -item.amount * NANOS_PER_CENT, actor=act.actor, now=act.now)
    cost = -item.amount if item.type in _FEES else 0
    if item.type not in _POSTED_ELSEWHERE:
        cost += item.fee
    await house.fee(tx, item.id, cost * NANOS_PER_CENT, actor=act.actor, now=act.now)

"""Calls to the provider: how long they take, their keys, and those that are repeated until done."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import Final, TypeVar

from core.audit import Act
from core.billing.payments import leftovers
from core.billing.payments.leftovers import Surplus
from core.billing.stripe.gateway import PaymentUnknown, StripeGateway, StripeRefused
from core.db.database import Pool
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog

CALL_SECONDS_MAX: Final = 240.0
"""Below `sending.LONGEST_CALL`: the provider's client limits each read, not all of them."""
PER_ROUND_MAX: Final = 20
_DIGEST_DIGITS: Final = 16
_BACK_ALREADY: Final = frozenset({"charge_already_refunded"})

Value = TypeVar("Value")


def content_key(key: str, *content: str) -> str:
    """Return a key for content that may be another at the next try: then it is another call."""
    digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
    return f"{key}:{digest[:_DIGEST_DIGITS]}"


async def in_time(call: Awaitable[Value]) -> Value:
    """Wait for a call, but not for ever.

    Raises:
        PaymentUnknown: it took too long.
    """
    try:
        async with asyncio.timeout(CALL_SECONDS_MAX):
            return await call
    except TimeoutError:
        raise PaymentUnknown(code="no_answer") from None


class Leftovers:
    """Gives money back that bought nothing, and detaches removed cards, until it is done."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        actor: str,
    ) -> None:
        """Work on the pool's database and with the provider."""
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._log = log
        self._actor = actor

    async def work(self) -> None:
        """Do what is due; what the provider does not answer is due again later."""
        await self.detach_cards()
        async with self._pool.transaction("system") as tx:
            due = await leftovers.take_surplus(tx, now(self._clock), PER_ROUND_MAX)
            await tx.commit()
        for surplus in due:
            await self._give_back(surplus)

    async def detach_cards(self) -> None:
        """Detach cards that were removed here; one that the provider does not know is gone."""
        async with self._pool.transaction("system") as tx:
            due = await leftovers.take_cards(tx, now(self._clock), PER_ROUND_MAX)
            await tx.commit()
        for method_id in due:
            try:
                await self._gateway.forget_card(method_id)
            except PaymentUnknown as error:
                self._log.event("card_not_detached", code=error.metadata.get("code", "unknown"))
                continue
            async with self._pool.transaction("system") as tx:
                await leftovers.card_is_detached(tx, method_id)
                await tx.commit()

    async def _give_back(self, surplus: Surplus) -> None:
        made, refused = None, ""
        try:
            made = await self._gateway.make_refund(
                refund="", intent_id=surplus.intent_id, amount=surplus.amount, key=surplus.key
            )
        except PaymentUnknown as error:
            self._log.event("surplus_waits", code=error.metadata.get("code", "unknown"))
            return
        except StripeRefused as refusal:
            refused = refusal.code or "refused"
        act = Act(self._actor, now(self._clock), self._ids)
        async with self._pool.transaction("system") as tx:
            if refused and refused not in _BACK_ALREADY:
                await leftovers.surplus_stays(tx, surplus, refused, act)
            else:
                await leftovers.surplus_went_back(tx, surplus, made.id if made else "", act)
            if made is not None:
                await leftovers.follow_refund(tx, act, made)
            await tx.commit()

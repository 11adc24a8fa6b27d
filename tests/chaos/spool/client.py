"""Requests of one workspace through a spool, priced as core prices them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.metering.records import Intent, Outcome
from edge.metering.spool import Spool
from edge.metering.ticket import Ticket
from kit.charge import Price, PriceTier, Quantities, charge_nanos, quantities
from tests.unit.edge.metering.samples import an_intent, an_outcome

USED = quantities(input=11, output=22)
DELIVERED = 10


def _silent(kind: str, word: str = "") -> None:
    """Say nothing."""


class Client:
    """Begins and finishes requests; says so before and after."""

    def __init__(
        self, spool: Spool, facts: dict[str, Any], say: Callable[[str, str], None] = _silent
    ) -> None:
        """Take the workspace, key and price from what a real core knows."""
        self._spool = spool
        self._say = say
        tier = PriceTier(0, tuple(facts["rates"]))
        self._price = Price(facts["price_version"], facts["model_number"], 1, 0, (tier,))
        self._facts = facts

    def begin(self) -> Ticket:
        """Have a request accepted."""
        intent = self.intent()
        self._say("I", intent.request_id.hex())
        ticket = self._spool.begin(intent, self._price)
        self._say("B", intent.request_id.hex())
        return ticket

    async def finish(self, ticket: Ticket) -> None:
        """Finish one, of which something was delivered before."""
        self._spool.checkpoint(ticket, DELIVERED, DELIVERED)
        await self._spool.finish(ticket, self.outcome(ticket.intent))
        self._say("F", ticket.intent.request_id.hex())

    def intent(self, **values: Any) -> Intent:
        """Return a new request's intent."""
        fields: dict[str, Any] = {
            "workspace_id": bytes.fromhex(self._facts["workspace_id"]),
            "key_id": bytes.fromhex(self._facts["key_id"]),
            "model_number": self._price.model_number,
            "price_version": self._price.number,
            "served_lane": self._price.lane,
            "hold_nanos": 10**7,
            "upstream_number": 0,
        }
        return an_intent(**(fields | values))

    def outcome(self, intent: Intent, used: Quantities = USED) -> Outcome:
        """Return how it ended, charged what core will charge."""
        charge = charge_nanos(used, self._price)
        return an_outcome(intent, quantities=used, charge_nanos=charge, attempts=())

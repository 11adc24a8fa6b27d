"""Customers, each with a workspace: they buy, use, ask back, and dispute, over and over."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from core.billing.shares import MINOR_NANOS
from kit.ids import new_request_id, parse_id
from kit.reasons import DomainError
from oneapi.accounts.v1 import workspace_service_pb2, workspace_service_pb2_grpc
from oneapi.billing.v1 import (
    payment_pb2,
    payment_service_pb2,
    payment_service_pb2_grpc,
    refund_pb2,
    refund_service_pb2,
    refund_service_pb2_grpc,
)
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.common.v1.money_pb2 import Money
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1 import usage_record_pb2
from tests.chaos.money.edge import Edge
from tests.chaos.money.world import Price, World
from tests.support.metering_world import KEY
from tests.support.stripe import OrderRefusedError

PAYMENTS = payment_service_pb2_grpc.PaymentServiceStub
REFUNDS = refund_service_pb2_grpc.RefundServiceStub
EDGE_IDS_FROM = 100
LOOKS_MAX = 100
LOOK_SECONDS = 0.1
_MOVING = (
    refund_pb2.Refund.STATE_APPROVED,
    refund_pb2.Refund.STATE_PENDING,
    refund_pb2.Refund.STATE_RECALLING,
)


@dataclass
class Tally:
    """What customers did, and what went wrong that must not."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Customer(threading.Thread):
    """One workspace and what is done in its name, one thing at a time."""

    def __init__(self, world: World, number: int, seed: int, price: Price) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._chance = random.Random(f"{seed}:{number}")
        self._price = price
        self._number = number
        self._asked = 0
        self._stopping = threading.Event()
        self.tally = Tally()
        self.bought: dict[str, int] = {}
        """What was asked for, in cents, by request id."""
        self.used = 0
        """How many requests of a cent were recorded."""
        answer = world.link.call(
            workspace_service_pb2_grpc.WorkspaceServiceStub,
            "CreateWorkspace",
            workspace_service_pb2.CreateWorkspaceRequest(
                request_id=self._request_id("make"), display_name="Customer"
            ),
        )
        self.workspace_id: str = answer.workspace.workspace_id
        self._edge = Edge(world, EDGE_IDS_FROM + number, parse_id("ws", self.workspace_id))

    def run(self) -> None:
        """Go on until told to stop; then the edge gives back all that it has."""
        deeds = {
            self.buy_on_the_page: 4,
            self.buy_with_the_card: 3,
            self.use: 4,
            self.lease: 3,
            self.give_back: 2,
            self.ask_back: 3,
            self.refund_there: 1,
            self.dispute: 2,
            self.decide: 2,
            self.let_a_refund_fail: 1,
            self.warn: 1,
        }
        while not self._stopping.is_set():
            (deed,) = self._chance.choices(list(deeds), list(deeds.values()))
            try:
                deed()
            except (DomainError, OrderRefusedError) as refused:
                self.tally.done[f"{deed.__name__}: {type(refused).__name__}"] += 1
            except Exception as error:  # noqa: BLE001 - told at the end
                self.tally.wrong.append(f"{deed.__name__}: {type(error).__name__}: {error}")
            else:
                self.tally.done[deed.__name__] += 1
        self._edge.close()

    def stop(self) -> None:
        """Stop after what is being done."""
        self._stopping.set()

    def buy_on_the_page(self) -> None:
        """Buy on the provider's page; sometimes leave without paying."""
        request_id, amount = self._purchase()
        payment = self._ask(
            PAYMENTS,
            "CreateCheckout",
            payment_service_pb2.CreateCheckoutRequest(
                request_id=request_id,
                workspace_id=self.workspace_id,
                amount=amount,
                saves_card=True,
            ),
        ).payment
        payment = self._when(payment, lambda found: found.checkout_url or found.state > 2)
        session = payment.checkout_url.rpartition("/")[2]
        if session and self._chance.random() < 0.85:
            self._world.simulator.order(f"checkout/{session}/pay")
            if self._chance.random() < 0.5:
                self._when(payment, lambda found: found.state > 2)

    def buy_with_the_card(self) -> None:
        """Buy with the card that a purchase on the page has saved."""
        request_id, amount = self._purchase()
        wanted = payment_service_pb2.ChargeSavedCardRequest(
            request_id=request_id, workspace_id=self.workspace_id, amount=amount
        )
        first = self._ask(PAYMENTS, "ChargeSavedCard", wanted).payment
        again = self._ask(PAYMENTS, "ChargeSavedCard", wanted).payment
        assert again.payment_id == first.payment_id

    def use(self) -> None:
        """Use a few cents, a request each; the edge reports one of them twice."""
        records = [self._record() for _ in range(self._chance.randint(1, 300))]
        for sent in (records, records[:1]):
            self._edge.report(sent)
        self.used += len(records)

    def lease(self) -> None:
        """Let the edge set some credit aside for what it may do next."""
        self._edge.acquire(self._chance.randint(1, 1_500) * MINOR_NANOS)

    def give_back(self) -> None:
        """Let the edge give back a part of what it has not used, mostly all."""
        self._edge.renew(1.0 if self._chance.random() < 0.6 else self._chance.random())

    def ask_back(self) -> None:
        """Ask for a refund of a purchase, which finance mostly approves."""
        payment = self._some_payment()
        wanted = refund_service_pb2.RequestRefundRequest(
            request_id=self._request_id("back"), payment_id=payment.payment_id
        )
        if self._chance.random() < 0.6:
            cents = self._chance.randint(1, payment.net.amount_nanos // MINOR_NANOS)
            wanted.amount.CopyFrom(_money(cents))
        refund = self._ask(REFUNDS, "RequestRefund", wanted).refund
        method = "ApproveRefund" if self._chance.random() < 0.9 else "RejectRefund"
        decide = getattr(refund_service_pb2, f"{method}Request")(refund_id=refund.refund_id)
        for _ in range(2):
            self._world.link.call(REFUNDS, method, decide, "finance")

    def refund_there(self) -> None:
        """Let a person refund a part at the provider."""
        charge = self._some_charge()
        left = charge["amount"] - charge["amount_refunded"]
        amount = self._chance.randint(1, max(1, left))
        self._world.simulator.order("dashboard_refund", charge=charge["id"], amount=amount)

    def dispute(self) -> None:
        """Dispute what is left of a charge, unless a refund of it is on its way."""
        charge = self._some_charge()
        mine = refund_service_pb2.ListRefundsRequest(workspace_id=self.workspace_id)
        found = self._ask(REFUNDS, "ListRefunds", mine).refunds
        if any(refund.state in _MOVING for refund in found):
            return
        left = charge["amount"] - charge["amount_refunded"]
        if left > 0:
            inquiry = self._chance.random() < 0.3
            self._world.simulator.order(
                "disputes", charge=charge["id"], amount=left, inquiry=inquiry
            )

    def decide(self) -> None:
        """Let the bank go on with a dispute."""
        mine = {charge["id"] for charge in self._charges()}
        open_ones = [
            one
            for one in self._world.simulator.objects("dispute")
            if one["charge"] in mine and one["status"] in {"needs_response", "under_review"}
        ]
        if open_ones:
            chosen = self._chance.choice(open_ones)
            status = self._chance.choice(("won", "lost", "lost"))
            self._world.simulator.order(f"disputes/{chosen['id']}/resolve", status=status)

    def let_a_refund_fail(self) -> None:
        """Let the bank send a refund back."""
        mine = {charge["id"] for charge in self._charges()}
        done = [
            one
            for one in self._world.simulator.objects("refund")
            if one["charge"] in mine and one["status"] == "succeeded"
        ]
        if done:
            self._world.simulator.order(f"refunds/{self._chance.choice(done)['id']}/fail")

    def warn(self) -> None:
        """Let the card's network warn of a charge."""
        self._world.simulator.order("efw", charge=self._some_charge()["id"])

    def _purchase(self) -> tuple[str, Money]:
        request_id, cents = self._request_id("buy"), self._chance.randint(100, 5_000)
        self.bought[request_id] = cents
        return request_id, _money(cents)

    def _record(self) -> usage_record_pb2.UsageRecord:
        request_id = new_request_id()
        return usage_record_pb2.UsageRecord(
            request_id=request_id,
            workspace_id=parse_id("ws", self.workspace_id),
            key_id=KEY,
            started_at_micros=time.time_ns() // 1_000,
            price_version=self._price.version,
            model_number=self._price.model_number,
            served_lane=Lane.LANE_DEFAULT,
            quantities=Quantities(input_tokens=self._price.tokens),
            outcome=usage_record_pb2.OUTCOME_SUCCEEDED,
            http_status=200,
            charge_nanos=MINOR_NANOS,
        )

    def _some_payment(self) -> Any:
        mine = payment_service_pb2.ListPaymentsRequest(workspace_id=self.workspace_id)
        found = self._ask(PAYMENTS, "ListPayments", mine).payments
        paid = [one for one in found if one.state == payment_pb2.Payment.STATE_SUCCEEDED]
        return self._chance.choice(paid) if paid else self._nothing()

    def _charges(self) -> list[dict[str, Any]]:
        mine = payment_service_pb2.ListPaymentsRequest(workspace_id=self.workspace_id)
        found = {one.payment_id for one in self._ask(PAYMENTS, "ListPayments", mine).payments}
        intents = {
            one["id"]
            for one in self._world.simulator.objects("payment_intent")
            if one["metadata"].get("oneapi_payment") in found
        }
        charges = self._world.simulator.objects("charge")
        return [one for one in charges if one["payment_intent"] in intents and one["paid"]]

    def _some_charge(self) -> dict[str, Any]:
        found = self._charges()
        charge: dict[str, Any] = self._chance.choice(found) if found else self._nothing()
        return charge

    def _nothing(self) -> Any:
        raise OrderRefusedError(404, {"code": "nothing_yet"})

    def _when(self, payment: Any, condition: Any) -> Any:
        """Look at a payment until a condition holds, or for some seconds."""
        wanted = payment_service_pb2.GetPaymentRequest(payment_id=payment.payment_id)
        for _ in range(LOOKS_MAX):
            if condition(payment) or self._stopping.is_set():
                break
            time.sleep(LOOK_SECONDS)
            payment = self._ask(PAYMENTS, "GetPayment", wanted).payment
        return payment

    def _ask(self, stub: Any, method: str, request: Any) -> Any:
        return self._world.link.call(stub, method, request)

    def _request_id(self, what: str) -> str:
        self._asked += 1
        return f"{what}-{self._number}-{self._asked:06}"


def _money(cents: int) -> Money:
    return Money(amount_nanos=cents * MINOR_NANOS, currency_code="USD")

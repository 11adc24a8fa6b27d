"""The process: what survives a restart, which clock it follows, what it refuses to do."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from kit.clock import SystemClock
from tests.contract.stripe import worlds
from tests.support.stripe import API_KEY, OrderRefusedError, StripeSimulator
from tools.stripe_sim.app import Settings, build
from tools.stripe_sim.delivery import Destination


async def test_a_restart_keeps_the_account(tmp_path: Path) -> None:
    """Objects, events, time and keys; without a state file nothing is kept."""
    state = tmp_path / "stripe.json"
    with StripeSimulator(state=state) as simulator:
        async with simulator.client() as client:
            await worlds.payment(client)
            first = await client.v1.customers.create_async({}, {"idempotency_key": "k"})
            simulator.order("clock", seconds=1_000)
            before = simulator.state()
    with StripeSimulator(state=state) as simulator:
        after = simulator.state()
        assert after["objects"] == before["objects"]
        assert after["now"] >= before["now"]
        async with simulator.client() as client:
            again = await client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert again.id == first.id


def test_a_drill_moves_its_time(tmp_path: Path) -> None:
    """With the file that moves all processes."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    with StripeSimulator(test_clock=clock) as simulator:
        now = simulator.state()["now"]
        clock.write_text("86400")
        time.sleep(0.1)  # the file is read again after 50 ms
        until = simulator.state()["now"]
        assert 86_395 <= until - now <= 86_460


def test_only_this_machine_is_listened_to(simulator: StripeSimulator) -> None:
    """Other addresses of the machine refuse."""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", simulator.port), timeout=2).close()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("clock", {"seconds": -1}),
        ("clock", {"seconds": "5"}),
        ("clock", {}),
        ("faults", {"kind": "fire"}),
        ("faults", {"kind": "delay", "zebra": 1}),
        ("disputes", {}),
        ("disputes", {"charge": "ch_nothing"}),
        ("refunds/re_nothing/fail", {}),
        ("replay/evt_nothing", {}),
        ("checkout/cs_nothing/pay", {}),
        ("async_payments/cs_nothing/succeed", {}),
        ("authenticate/pi_nothing", {}),
        ("webhooks", {"secrets": []}),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    simulator: StripeSimulator, path: str, fields: dict[str, object]
) -> None:
    """With a sentence of ours, and nothing is changed."""
    with pytest.raises(OrderRefusedError) as caught:
        simulator.order(path, **fields)
    assert caught.value.status in {400, 404}


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff", b"{" * 10_000])
def test_an_order_that_is_no_json_is_refused(simulator: StripeSimulator, body: bytes) -> None:
    """As anything else that cannot be read."""
    answer = httpx.post(f"{simulator.origin}/_sim/clock", content=body, trust_env=False)
    assert answer.status_code == 400


async def test_the_same_seed_makes_the_same_ids() -> None:
    """So that a failing run can be looked at again."""
    made = []
    for _ in range(2):
        destination = Destination(None, ["whsec_x"], ["snapshot"])
        app = build(Settings(API_KEY, destination, "http://sim", seed=11), SystemClock())
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://sim") as browser:
            made.append((await browser.post("/v1/customers", headers=headers)).json()["id"])
    assert made[0] == made[1]


async def test_tax_is_calculated_committed_and_reversed(client: stripe.StripeClient) -> None:
    """On top at 20 %, or within; the reference is used once."""
    calculation = await client.v1.tax.calculations.create_async(
        {
            "currency": "usd",
            "line_items": [
                {"amount": 1_000, "reference": "a"},
                {"amount": 1_200, "reference": "b", "tax_behavior": "inclusive"},
            ],
            "customer_details": {"address": {"country": "DE"}, "address_source": "billing"},
        }
    )
    assert (calculation.tax_amount_exclusive, calculation.tax_amount_inclusive) == (200, 200)
    assert calculation.amount_total == 2_400
    assert calculation.id is not None
    transaction = await client.v1.tax.transactions.create_from_calculation_async(
        {"calculation": calculation.id, "reference": "top_1"}
    )
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.tax.transactions.create_from_calculation_async(
            {"calculation": calculation.id, "reference": "top_1"}
        )
    reversal = await client.v1.tax.transactions.create_reversal_async(
        {"mode": "full", "original_transaction": transaction.id, "reference": "refund_1"}
    )
    assert reversal.line_items is not None
    assert [one.amount_tax for one in reversal.line_items.data] == [-200, -200]


async def test_a_payment_commits_the_tax_of_its_calculation_and_a_refund_takes_it_back(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """By the intent's hook; nobody calls for it."""
    owner = await worlds.customer(client)
    lines: Any = [{"amount": 1_000, "reference": "a", "tax_behavior": "exclusive"}]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.tax.calculations.create_async(
            {"currency": "usd", "line_items": lines, "customer": owner.id}
        )
    assert caught.value.code == "customer_tax_location_invalid"
    await client.v1.customers.update_async(owner.id, {"address": {"country": "DE"}})
    calculation = await client.v1.tax.calculations.create_async(
        {"currency": "usd", "line_items": lines, "customer": owner.id}
    )
    hooks = {"inputs": {"tax": {"calculation": calculation.id}}}
    intent = await worlds.payment(client, 1_200, customer=owner.id, hooks=hooks)
    assert [one["reference"] for one in simulator.objects("tax.transaction")] == [intent.id]
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 600})
    reversal = simulator.objects("tax.transaction")[-1]
    assert (reversal["type"], reversal["reference"]) == ("reversal", refund.id)
    assert [one["amount_tax"] for one in reversal["line_items"]["data"]] == [-100]


async def test_a_reverse_charge_has_no_tax_and_a_calculation_ages(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """After 90 days it cannot be used any more."""
    calculation = await client.v1.tax.calculations.create_async(
        {
            "currency": "usd",
            "line_items": [{"amount": 1_000, "reference": "a"}],
            "customer_details": {
                "address": {"country": "DE"},
                "address_source": "billing",
                "taxability_override": "reverse_charge",
            },
        }
    )
    assert calculation.tax_amount_exclusive == 0
    assert calculation.id is not None
    simulator.order("clock", seconds=90 * 86_400)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.tax.transactions.create_from_calculation_async(
            {"calculation": calculation.id, "reference": "late"}
        )

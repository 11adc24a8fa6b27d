"""Requests: keys that make them safe to repeat, faults between us, lists and errors."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import API_KEY, StripeSimulator

KEY: Any = {"idempotency_key": "topup:1:1"}


def headers_of(answer: Any) -> dict[str, str]:
    """Return the headers of the answer that an object came with."""
    return {name.lower(): value for name, value in answer.last_response.headers.items()}


async def test_a_key_gives_the_first_answer_again(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """One object, and a header that says so."""
    first = await client.v1.customers.create_async({"email": "a@example.com"}, KEY)
    second = await client.v1.customers.create_async({"email": "a@example.com"}, KEY)
    assert first.id == second.id
    assert len(simulator.objects("customer")) == 1
    assert headers_of(second)["idempotent-replayed"] == "true"
    assert headers_of(second)["original-request"] == headers_of(first)["request-id"]


async def test_a_key_with_other_parameters_is_refused(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Or at another method."""
    await client.v1.customers.create_async({"email": "a@example.com"}, KEY)
    with pytest.raises(stripe.IdempotencyError) as caught:
        await client.v1.customers.create_async({"email": "b@example.com"}, KEY)
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.payment_intents.create_async({"amount": 500, "currency": "usd"}, KEY)
    assert len(simulator.objects("customer")) == 1


async def test_a_key_is_forgotten_after_a_day(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Then the same request is a new one."""
    first = await client.v1.customers.create_async({}, KEY)
    simulator.order("clock", seconds=86_400)
    second = await client.v1.customers.create_async({}, KEY)
    assert first.id != second.id


async def test_a_refused_card_is_refused_again(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The answer is kept, whatever it was; the bank is not asked twice."""
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await client.v1.payment_intents.create_async(
                {
                    "amount": 500,
                    "currency": "usd",
                    "payment_method": "pm_card_chargeDeclined",
                    "confirm": True,
                },
                KEY,
            )
    assert len(simulator.objects("charge")) == 1


async def test_a_refused_parameter_does_not_spend_the_key(client: stripe.StripeClient) -> None:
    """Because the method never ran."""
    wrong: Any = {"emial": "a@example.com"}
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.customers.create_async(wrong, KEY)
    assert (await client.v1.customers.create_async({"email": "a@example.com"}, KEY)).id


async def test_two_at_once_with_one_key(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The second is told that the first is not finished."""
    simulator.fault("delay", path="/v1/customers", seconds=1.0, count=1)
    outcomes = await asyncio.gather(
        *(client.v1.customers.create_async({}, KEY) for _ in range(2)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, stripe.APIError)]
    assert [one.http_status for one in refused] == [409]
    assert len(simulator.objects("customer")) == 1


async def test_an_answer_that_is_lost_after_its_effect(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The same key finds it again."""
    simulator.fault("drop_after_commit", path="/v1/payment_intents", method="POST", count=1)
    with pytest.raises(stripe.APIConnectionError):
        await worlds.payment(client)
    assert len(simulator.objects("charge")) == 1


async def test_the_sdk_repeats_a_lost_request_with_its_own_key(
    simulator: StripeSimulator,
) -> None:
    """Once is enough, and nothing is done twice."""
    simulator.fault("drop_after_commit", path="/v1/payment_intents", count=1)
    async with simulator.client(retries=2) as client:
        assert (await worlds.payment(client)).status == "succeeded"
    assert len(simulator.objects("charge")) == 1


@pytest.mark.parametrize("commits", [False, True])
async def test_a_500_is_repeated_for_its_key(
    client: stripe.StripeClient,
    simulator: StripeSimulator,
    commits: bool,  # noqa: FBT001
) -> None:
    """Whether anything happened has to be looked up."""
    simulator.fault("status_500", path="/v1/customers", count=1, commits=commits)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            await client.v1.customers.create_async({}, KEY)
        assert caught.value.http_status == 500
    assert len(simulator.objects("customer")) == int(commits)


@pytest.mark.parametrize(
    ("kind", "error"), [("status_429", stripe.RateLimitError), ("status_409", stripe.APIError)]
)
async def test_a_refusal_for_now_spends_nothing(
    client: stripe.StripeClient, simulator: StripeSimulator, kind: str, error: type[Exception]
) -> None:
    """The same key works afterwards."""
    simulator.fault(kind, method="POST", path="/v1/cust*", count=1)
    with pytest.raises(error):
        await client.v1.customers.create_async({}, KEY)
    assert (await client.v1.customers.create_async({}, KEY)).id


async def test_a_fault_strikes_as_often_as_its_seed_says(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The same seed, the same requests; until it is removed."""
    outcomes = []
    for _ in range(2):
        simulator.fault("status_429", probability=0.5, seed=3)
        outcome = []
        for _ in range(12):
            try:
                await client.v1.balance.retrieve_async()
                outcome.append(True)
            except stripe.RateLimitError:
                outcome.append(False)
        outcomes.append(outcome)
        simulator.no_faults()
    assert outcomes[0] == outcomes[1]
    assert 0 < sum(outcomes[0]) < 12
    await client.v1.balance.retrieve_async()


async def test_another_key_is_not_let_in(simulator: StripeSimulator) -> None:
    """No object is told."""
    async with httpx.AsyncClient(base_url=simulator.origin, trust_env=False) as browser:
        for headers in ({}, {"Authorization": "Bearer sk_test_other"}):
            answer = await browser.get("/v1/customers", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["request-id"].startswith("req_")
        wrong = {"Authorization": f"Bearer {API_KEY}", "Stripe-Version": "2020-08-27"}
        assert (await browser.get("/v1/customers", headers=wrong)).status_code == 400
        right = {"Authorization": f"Bearer {API_KEY}"}
        assert (await browser.get("/v1/customers", headers=right)).status_code == 200
        assert (await browser.get("/v1/zebras", headers=right)).status_code == 404
        assert (await browser.put("/v1/customers", headers=right)).status_code == 404


@pytest.mark.parametrize(
    "params",
    [
        {"customer": "cus_nobody", "amount": 500, "currency": "usd"},
        {"payment_method": "pm_nothing", "amount": 500, "currency": "usd"},
    ],
)
async def test_a_parameter_that_names_nothing_is_a_400(
    client: stripe.StripeClient, params: Any
) -> None:
    """A path that names nothing is a 404."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.create_async(params)
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 400)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.retrieve_async("pi_nothing")
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 404)


async def test_a_list_is_paged_newest_first(client: stripe.StripeClient) -> None:
    """Forwards, backwards, and by the SDK's own iterator."""
    made = [(await client.v1.customers.create_async({})).id for _ in range(5)][::-1]
    page = await client.v1.customers.list_async({"limit": 2})
    assert ([one.id for one in page.data], page.has_more) == (made[:2], True)
    page = await client.v1.customers.list_async({"limit": 2, "starting_after": made[2]})
    assert ([one.id for one in page.data], page.has_more) == (made[3:], False)
    page = await client.v1.customers.list_async({"limit": 2, "ending_before": made[3]})
    assert ([one.id for one in page.data], page.has_more) == (made[1:3], True)
    first = await client.v1.customers.list_async({"limit": 2})
    assert [one.id async for one in first.auto_paging_iter()] == made
    for wrong in ({"limit": 101}, {"limit": 0}, {"starting_after": "cus_x"}):
        params: Any = wrong
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.customers.list_async(params)


async def test_a_list_is_cut_by_time(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """A sweep asks for what is newer than its cursor."""
    await client.v1.customers.create_async({})
    simulator.order("clock", seconds=100)
    late = await client.v1.customers.create_async({})
    page = await client.v1.customers.list_async({"created": {"gte": late.created}})
    assert [one.id for one in page.data] == [late.id]


@pytest.mark.parametrize("path", ["zebra", "customer.zebra", "a.b.c.d.e", "id"])
async def test_what_cannot_be_expanded_is_refused(client: stripe.StripeClient, path: str) -> None:
    """Unknown, too deep, or no reference."""
    owner = await worlds.customer(client)
    intent = await worlds.payment(client, customer=owner.id)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.retrieve_async(intent.id, {"expand": [path]})


async def test_customers_change_and_go(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Metadata are merged; a deleted customer pays nothing more, and its cards are gone."""
    owner = await client.v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    changed = await client.v1.customers.update_async(
        owner.id, {"metadata": {"a": "", "c": "3"}, "name": "Ada"}
    )
    assert (changed.name, changed.to_dict()["metadata"]) == ("Ada", {"b": "2", "c": "3"})
    method = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": owner.id})
    gone = await client.v1.customers.delete_async(owner.id)
    assert gone.deleted
    assert (await client.v1.customers.retrieve_async(owner.id)).deleted
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await worlds.payment(client, customer=owner.id, card=method.id, off_session=True)
    assert caught.value.code == "resource_missing"
    assert simulator.objects("payment_method")[0]["customer"] is None


async def test_a_card_is_one_customers(client: stripe.StripeClient) -> None:
    """Nobody else pays with it; detached, nobody does."""
    ada, bob = await worlds.customer(client), await worlds.customer(client)
    method = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": ada.id})
    with pytest.raises(stripe.InvalidRequestError):
        await worlds.payment(client, customer=bob.id, card=method.id)
    await client.v1.payment_methods.detach_async(method.id)
    with pytest.raises(stripe.InvalidRequestError):
        await worlds.payment(client, customer=ada.id, card=method.id)


async def test_a_refused_card_is_not_kept(client: stripe.StripeClient) -> None:
    """But one that fails only at a payment is."""
    owner = await worlds.customer(client)
    with pytest.raises(stripe.CardError):
        await client.v1.payment_methods.attach_async(
            "pm_card_chargeDeclined", {"customer": owner.id}
        )
    kept = await client.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": owner.id}
    )
    with pytest.raises(stripe.CardError):
        await worlds.payment(client, customer=owner.id, card=kept.id, off_session=True)


async def test_a_card_is_saved_without_a_payment(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """After the bank has asked, where it does."""
    owner = await worlds.customer(client)
    intent = await client.v1.setup_intents.create_async(
        {
            "customer": owner.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
        }
    )
    assert intent.status == "requires_action"
    simulator.order(f"authenticate/{intent.id}")
    done = await client.v1.setup_intents.retrieve_async(intent.id)
    assert done.status == "succeeded"
    paid = await worlds.payment(
        client, customer=owner.id, card=str(done.payment_method), off_session=True
    )
    assert paid.status == "succeeded"

"""Webhooks and events: signed, repeated, mixed up, held, lost and found again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import WEBHOOK_SECRET, Receiver, StripeSimulator, receiving


def types(receiver: Receiver) -> list[str]:
    """Return the types of the events in the order of their arrival."""
    return [json.loads(body)["type"] for body, _ in receiver.received]


def ids(receiver: Receiver) -> list[str]:
    """Return the ids of the events in the order of their arrival."""
    return [json.loads(body)["id"] for body, _ in receiver.received]


async def test_a_webhook_is_a_signed_snapshot(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """The SDK verifies it; it names the request that caused it."""
    intent = await worlds.payment(client)
    simulator.order("settle")
    body, signature = next(
        one for one in endpoint.received if b'"payment_intent.succeeded"' in one[0]
    )
    event = stripe.Webhook.construct_event(body, signature, WEBHOOK_SECRET, api_key="sk_test_x")
    snapshot: Any = event.data.object
    assert (snapshot.id, snapshot.status) == (intent.id, "succeeded")
    assert event.api_version == stripe.api_version
    assert event.request is not None
    assert (event.request.id or "").startswith("req_")
    assert event.request.idempotency_key
    assert b'"_' not in body


@pytest.mark.parametrize("secret", ["whsec_other", ""])
async def test_another_secret_does_not_verify(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver, secret: str
) -> None:
    """Nor a body that was changed."""
    await worlds.customer(client)
    simulator.order("settle")
    body, signature = endpoint.received[0]
    verify = stripe.WebhookSignature.verify_header
    with pytest.raises(stripe.SignatureVerificationError):
        verify(body, signature, secret)
    with pytest.raises(stripe.SignatureVerificationError):
        verify(body.replace(b"ada@", b"eve@"), signature, WEBHOOK_SECRET)
    assert verify(body, signature, WEBHOOK_SECRET, 300)


async def test_two_secrets_sign_while_one_replaces_the_other(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """Both verify."""
    simulator.order("webhooks", secrets=[WEBHOOK_SECRET, "whsec_new"])
    await worlds.customer(client)
    simulator.order("settle")
    simulator.order("webhooks", secrets=[WEBHOOK_SECRET])
    body, signature = endpoint.received[0]
    for secret in (WEBHOOK_SECRET, "whsec_new"):
        assert stripe.WebhookSignature.verify_header(body, signature, secret)


async def test_a_charge_learns_its_balance_transaction_after_the_fact(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """With asynchronous capture, `charge.succeeded` has none and `charge.updated` has."""
    await worlds.payment(client)
    charges = {
        one["type"]: one["data"]
        for one in simulator.objects("event")
        if one["type"].startswith("charge.")
    }
    assert charges["charge.succeeded"]["object"]["balance_transaction"] is None
    assert charges["charge.updated"]["object"]["balance_transaction"].startswith("txn_")
    assert charges["charge.updated"]["previous_attributes"] == {"balance_transaction": None}


async def test_an_endpoint_that_fails_is_tried_again_for_three_days(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """With growing pauses; what is undelivered can be asked for."""
    simulator.order("settle")  # deliveries of an earlier test that are on their way still come
    endpoint.received.clear()
    endpoint.statuses[:] = [500] * 2
    await worlds.customer(client)
    simulator.order("settle")
    assert len(endpoint.received) == 1
    undelivered = await client.v1.events.list_async({"delivery_success": False})
    assert [one.type for one in undelivered.data] == ["customer.created"]
    simulator.order("clock", seconds=20)
    simulator.order("settle")
    assert len(endpoint.received) == 1
    simulator.order("clock", seconds=60)
    simulator.order("settle")
    assert len(endpoint.received) == 2
    simulator.order("clock", seconds=120)
    simulator.order("settle")
    assert len(endpoint.received) == 3
    assert (await client.v1.events.list_async({"delivery_success": False})).data == []
    delivered = await client.v1.events.list_async({"delivery_success": True})
    assert delivered.data[0].pending_webhooks == 0
    assert len(set(ids(endpoint))) == 1


async def test_after_three_days_nobody_tries_any_more(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """The event stays undelivered, and can be read for 30 days."""
    endpoint.statuses[:] = [500] * 40
    await worlds.customer(client)
    for _ in range(12):
        simulator.order("settle")
        simulator.order("clock", seconds=12 * 3_600)
    tried = len(endpoint.received)
    assert 6 <= tried <= 12
    simulator.order("clock", seconds=20 * 86_400)
    simulator.order("settle")
    assert len(endpoint.received) == tried
    undelivered = await client.v1.events.list_async({"delivery_success": False})
    event = undelivered.data[0]
    simulator.order("clock", seconds=10 * 86_400)
    assert (await client.v1.events.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.events.retrieve_async(event.id)


async def test_held_webhooks_come_in_the_order_that_is_asked_for(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """Reversed here: the last that happened is told first."""
    simulator.fault("hold_webhooks")
    await worlds.payment(client)
    simulator.order("settle")
    assert endpoint.received == []
    happened = [one["id"] for one in simulator.objects("event")]
    released = simulator.order("release_webhooks", order=happened[::-1])
    assert ids(endpoint) == happened[::-1]
    assert {one["status"] for one in released} == {200}
    await worlds.customer(client)
    simulator.order("settle")
    assert types(endpoint)[-1] == "customer.created"


async def test_held_webhooks_are_shuffled_by_a_seed(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """Only those of the types that are held."""
    simulator.fault("hold_webhooks", event="payment_intent.*")
    await worlds.payment(client)
    simulator.order("settle")
    assert set(types(endpoint)) == {"charge.succeeded", "charge.updated"}
    simulator.order("release_webhooks", seed=1)
    assert {"payment_intent.created", "payment_intent.succeeded"} < set(types(endpoint))


async def test_an_event_comes_twice(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """By a fault, and later on order as it was."""
    simulator.fault("duplicate", event="customer.created", count=1)
    await worlds.customer(client)
    simulator.order("settle")
    assert len(endpoint.received) == 2
    simulator.order(f"replay/{ids(endpoint)[0]}")
    assert len(endpoint.received) == 3
    assert len({body for body, _ in endpoint.received}) == 1


async def test_events_are_mixed_up(
    client: stripe.StripeClient, simulator: StripeSimulator, endpoint: Receiver
) -> None:
    """From the first of a type on, they gather for a while; all arrive, in another order."""
    simulator.fault("reorder", event="payment_intent.created", seconds=1.0, seed=5, count=1)
    await worlds.payment(client)
    simulator.order("settle")
    happened = [one["id"] for one in simulator.objects("event")]
    assert sorted(ids(endpoint)) == sorted(happened)
    assert ids(endpoint) != happened


async def test_events_are_listed_by_type(client: stripe.StripeClient) -> None:
    """One, several, or a family."""
    await worlds.payment(client)
    one = await client.v1.events.list_async({"type": "charge.succeeded"})
    assert [event.type for event in one.data] == ["charge.succeeded"]
    some = await client.v1.events.list_async(
        {"types": ["charge.succeeded", "payment_intent.succeeded"]}
    )
    assert len(some.data) == 2
    family = await client.v1.events.list_async({"type": "charge.*"})
    assert {event.type for event in family.data} == {"charge.succeeded", "charge.updated"}


async def test_a_thin_event_leads_to_the_object_as_it_is_now() -> None:
    """Its notification is verified by the SDK and carries no snapshot."""
    with (
        receiving() as endpoint,
        StripeSimulator(webhook_url=endpoint.url, webhook_style="thin") as simulator,
    ):
        async with simulator.client() as client:
            intent = await worlds.payment(client)
            await client.v1.refunds.create_async({"payment_intent": intent.id})
            simulator.order("settle")
            found = [
                client.parse_event_notification(body, signature, WEBHOOK_SECRET)
                for body, signature in endpoint.received
            ]
            with pytest.raises(stripe.SignatureVerificationError):
                client.parse_event_notification(*endpoint.received[0], "whsec_other")
            notified: Any = next(one for one in found if one.type == "v1.charge.succeeded")
            assert notified.related_object.type == "charge"
            assert notified.reason.request.id.startswith("req_")
            charge = notified.fetch_related_object()
            assert (charge.id, charge.amount_refunded) == (intent.latest_charge, 2_500)
            event: Any = await client.v2.core.events.retrieve_async(notified.id)
            assert event.related_object.id == charge.id
            snapshot = await client.v1.events.retrieve_async(event.snapshot_event)
            assert snapshot.type == "charge.succeeded"
            assert notified.fetch_event().id == event.id
            listed = await client.v2.core.events.list_async({"object_id": charge.id, "limit": 2})
            pages = [one.type async for one in listed.auto_paging_iter()]
            assert sorted(pages) == sorted(
                ["v1.charge.refunded", "v1.charge.updated", "v1.charge.succeeded"]
            )
            with pytest.raises(stripe.InvalidRequestError):
                await client.v2.core.events.retrieve_async("evt_nothing")

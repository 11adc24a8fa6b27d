"""Whatever a caller sends, the answer is an object or an error of Stripe's kind."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stripe._encode import _api_encode

from kit.clock import SystemClock
from tests.support.stripe import API_KEY
from tools.stripe_sim.api import OPERATIONS
from tools.stripe_sim.app import Settings, build
from tools.stripe_sim.calls import Operation
from tools.stripe_sim.delivery import Destination
from tools.stripe_sim.params import Shape, shape_of

HEADERS = {"Authorization": f"Bearer {API_KEY}"}
TOKENS = [
    *("pm_card_visa", "pm_card_chargeDeclined", "pm_card_createDispute", "pm_card_pendingRefund"),
    *("pm_card_threeDSecure2Required", "pm_card_createDisputeInquiry"),
]
LIKELY = {
    "currency": ["usd"],
    "customer_update": [],
    "expand": ["customer", "latest_charge", "payment_intent", "data.customer"],
    "expires_at": ["2000000000"],
    "limit": ["1", "100"],
    "mode": ["payment", "full"],
    "number": ["4242424242424242"],
    "payment_method": TOKENS,
    "query": ["metadata['a']:'b'", "status:'succeeded' OR customer:null"],
    "quantity": ["2"],
    "success_url": ["http://127.0.0.1:9/"],
    "type": ["card"],
    "ui_mode": ["hosted_page"],
}
WORDS = [
    *("usd", "eur", "jpy", "zzz", "payment", "card", "off_session", "DE", "", "a", "-1", "0"),
    *("4242424242424242", "http://127.0.0.1:9/", "500", "true", *TOKENS),
]


MAKERS = [one for one in OPERATIONS if one.method == "POST" and "{id}" not in one.path]


def known_id(name: str, source: random.Random, known: dict[str, str]) -> str:
    """Return an id of the kind that a name stands for, or any."""
    kind = name.removeprefix("original_").rstrip("s")
    fitting = [one for one, owner in known.items() if owner.rpartition(".")[2] == kind]
    return source.choice(fitting or [*known, "x"])


def value(
    shape: Shape, source: random.Random, known: dict[str, str], name: str, depth: int = 0
) -> Any:
    """Return something that the shape may accept, mostly."""
    if source.random() < 0.03:
        return source.choice(WORDS)
    if name in LIKELY and source.random() < 0.8:
        likely = source.choice(LIKELY[name] or [""])
        return [likely] if shape.items is not None else likely
    choices: list[Any] = []
    if shape.fields is not None and depth < 4:
        names = [*shape.required, *source.sample(sorted(shape.fields), min(4, len(shape.fields)))]
        choices.append(
            {one: value(shape.fields[one], source, known, one, depth + 1) for one in names}
        )
    if shape.items is not None:
        choices.append([value(shape.items, source, known, name, depth + 1) for _ in range(2)])
    if shape.values is not None:
        choices.append({"a": source.choice(WORDS)})
    if shape.is_integer:
        choices.append(source.choice([1, 500, 2_030, source.choice([0, -5, 10**17])]))
    if shape.is_boolean:
        choices.append(source.choice([True, False]))
    if shape.is_text and not shape.words:
        choices.append(source.choice([*WORDS, *[known_id(name, source, known)] * 20]))
    if shape.words:
        choices.append(source.choice(sorted(shape.words)))
    return source.choice(choices or [""])


def form_of(operation: Operation, source: random.Random, known: dict[str, str]) -> dict[str, Any]:
    """Return parameters of a method, most of them honoured ones."""
    shape = shape_of(operation.params)
    fields = shape.fields or {}
    names = {name.partition(".")[0] for name in operation.honoured}
    chosen = {name for name in names if source.random() < 0.4} | shape.required
    if source.random() < 0.1:
        chosen |= {source.choice([*sorted(fields), "zebra"])}
    return {
        name: value(fields[name], source, known, name) if name in fields else "x"
        for name in sorted(chosen)
    }


async def storm(seed: int, requests: int) -> list[int]:
    """Send random requests to a new account and return the statuses."""
    source = random.Random(seed)
    chosen = Settings(API_KEY, Destination(None, ["whsec_x"], ["snapshot"]), "http://sim", seed=1)
    transport = httpx.ASGITransport(build(chosen, SystemClock()))
    known: dict[str, str] = {}
    statuses = []
    async with httpx.AsyncClient(transport=transport, base_url="http://sim") as client:
        for number in range(requests):
            likely = MAKERS if number < requests // 3 else OPERATIONS
            operation = source.choice(likely)
            collection = operation.path.partition("/{id}")[0].rpartition("/")[2]
            object_id = known_id(collection, source, known)
            form = urlencode(list(_api_encode(form_of(operation, source, known))))
            url = operation.path.replace("{id}", object_id)
            if operation.method == "POST":
                answer = await client.post(url, content=form, headers=HEADERS)
            else:
                answer = await client.request(operation.method, f"{url}?{form}", headers=HEADERS)
            statuses.append(answer.status_code)
            body = answer.json()
            if answer.status_code == 200 and "id" in body:
                known[body["id"]] = body["object"]
    return statuses


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_no_request_breaks_it(seed: int) -> None:
    """An exception inside would surface here."""
    assert set(asyncio.run(storm(seed, 60))) <= {200, 400, 402, 404}


def test_the_storm_does_make_things() -> None:
    """Control: of the random requests some succeed."""
    assert asyncio.run(storm(1, 200)).count(200) > 20

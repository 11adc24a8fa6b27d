"""Storms of unknown keys: core is asked at a bounded rate, and keys that exist get through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from edge.admission import look_ups
from edge.admission.grants import GrantCache
from edge.admission.look_ups import MAX_AT_ONCE, MAX_WAITING, MAX_WAITING_OF_PEER, TooManyLookUps
from edge.errors import ApiError
from kit.secret import new_secret
from tests.unit.edge.admission.doubles import SECRET_HASH, CoreGrants, ManualClock, grant_message
from tests.unit.edge.admission.world import AdmissionWorld

GUESSES = 10_000


@pytest.fixture
def core() -> CoreGrants:
    """Give a core that knows one secret and answers at once."""
    found = CoreGrants({SECRET_HASH: grant_message(1)})
    found.door.set()
    return found


@pytest.fixture
def cache(core: CoreGrants) -> GrantCache:
    """Give an empty cache in front of it."""
    return GrantCache(core.fetch, ManualClock())


def guesses(count: int) -> Iterator[list[bytes]]:
    """Return hashes that nobody has."""
    return ([number.to_bytes(32, "big")] for number in range(count))


async def test_garbled_keys_are_refused_without_a_look_up() -> None:
    """Ten thousand of them: the checksum answers, core hears nothing."""
    world = AdmissionWorld()
    before = world.grants.asked
    for number in range(GUESSES):
        secret = new_secret()
        garbled = f"{secret[:-1]}{'0' if secret[-1] != '0' else '1'}"
        with pytest.raises(ApiError) as raised:
            await world.admission.authenticate(garbled, f"10.0.0.{number % 250}")
        assert raised.value.status == 401
    assert world.grants.asked == before
    assert world.link.grants.look_ups.made == 0


async def test_a_storm_of_guesses_reaches_core_at_a_bounded_rate(
    cache: GrantCache, core: CoreGrants
) -> None:
    """Well formed and unknown: the first places are used up, the rest wait or are turned away."""
    found = await asyncio.gather(
        *(cache.find(guess, str(place % 7)) for place, guess in enumerate(guesses(GUESSES))),
        return_exceptions=True,
    )
    turned_away = sum(isinstance(one, TooManyLookUps) for one in found)
    assert core.asked == cache.look_ups.made == found.count(None) == GUESSES - turned_away
    assert core.asked <= MAX_WAITING
    assert cache.look_ups.waiting == 0


async def test_while_core_is_slow_few_look_ups_are_under_way(
    cache: GrantCache, core: CoreGrants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are told to come again; nothing piles up."""
    monkeypatch.setattr(look_ups, "WAIT_SECONDS", 0.05)
    core.door.clear()
    asking = [
        asyncio.create_task(cache.find(guess, str(place % 7)))
        for place, guess in enumerate(guesses(GUESSES))
    ]
    for _ in range(1_000):
        await asyncio.sleep(0.01)
        if sum(not task.done() for task in asking) <= MAX_AT_ONCE:
            break
    assert core.asked == MAX_AT_ONCE
    core.door.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found.count(None) == MAX_AT_ONCE


async def test_one_address_cannot_take_all_places(cache: GrantCache, core: CoreGrants) -> None:
    """A key that exists, from elsewhere, still gets in line and is served."""
    storm = [asyncio.create_task(cache.find(guess, "storm")) for guess in guesses(GUESSES)]
    await asyncio.sleep(0)
    assert cache.look_ups.waiting <= MAX_WAITING_OF_PEER
    found = await cache.find([SECRET_HASH], "customer")
    assert found is not None
    await asyncio.gather(*storm, return_exceptions=True)


async def test_keys_that_exist_give_their_place_back_at_once(
    cache: GrantCache, core: CoreGrants
) -> None:
    """A cold edge learns a thousand keys without a pause."""
    hashes = [[number.to_bytes(32, "big")] for number in range(MAX_WAITING_OF_PEER)]
    for number, (one,) in enumerate(hashes):
        message = grant_message(1, secrets=[one])
        message.key_id = number.to_bytes(16, "big")
        core.grants[one] = message
    async with asyncio.timeout(look_ups.REST_SECONDS * 10):
        found = await asyncio.gather(*(cache.find(one) for one in hashes))
    assert None not in found
    assert cache.look_ups.missed == 0


async def test_a_request_that_is_turned_away_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 with Retry-After: the key may be good."""
    monkeypatch.setattr(look_ups, "MAX_WAITING", 0)
    world = AdmissionWorld()
    with pytest.raises(ApiError) as raised:
        await world.admission.authenticate(world.secret, "10.0.0.1")
    assert (raised.value.status, raised.value.code) == (503, "key_check_busy")
    assert raised.value.headers[b"retry-after"] == b"1"

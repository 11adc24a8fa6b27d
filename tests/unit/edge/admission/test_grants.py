"""The cache of grants: newest version wins, unknown secrets are not asked for twice."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admission.grants import GrantCache, State, grant_from
from kit.reasons import DomainError, Unavailable
from oneapi.admission.v1 import grant_pb2
from tests.unit.edge.admission.doubles import (
    SECRET_HASH,
    CoreGrants,
    ManualClock,
    grant,
    grant_message,
)

OTHER_HASH = b"o" * 32
REVOKED = State.STATE_KEY_REVOKED


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
def core() -> CoreGrants:
    """Give a core that answers at once."""
    found = CoreGrants({SECRET_HASH: grant_message(1)})
    found.door.set()
    return found


@pytest.fixture
def cache(core: CoreGrants, clock: ManualClock) -> GrantCache:
    """Give an empty cache in front of it."""
    return GrantCache(core.fetch, clock)


async def test_a_secret_is_asked_for_once(cache: GrantCache, core: CoreGrants) -> None:
    """The common path makes no call."""
    first = await cache.find([SECRET_HASH])
    assert await cache.find([SECRET_HASH]) is first
    assert cache.known(SECRET_HASH) is first
    assert core.asked == 1


async def test_a_burst_of_one_secret_makes_one_call(cache: GrantCache, core: CoreGrants) -> None:
    """A cold edge does not storm core."""
    found = await asyncio.gather(*(cache.find([SECRET_HASH]) for _ in range(50)))
    assert {one.version for one in found if one} == {1}
    assert core.asked == 1


async def test_an_unknown_secret_is_remembered_for_a_second(
    cache: GrantCache, core: CoreGrants, clock: ManualClock
) -> None:
    """Guessing costs core one call a second for each guess."""
    assert await cache.find([OTHER_HASH]) is None
    assert await cache.find([OTHER_HASH]) is None
    assert core.asked == 1
    clock.pass_time(1.1)
    assert await cache.find([OTHER_HASH]) is None
    assert core.asked == 2


async def test_a_key_made_after_a_refusal_works_at_once(
    cache: GrantCache, core: CoreGrants
) -> None:
    """The feed lifts the memory of the refusal."""
    assert await cache.find([OTHER_HASH]) is None
    core.grants[OTHER_HASH] = grant_message(2, secrets=[OTHER_HASH])
    cache.refresh(grant_from(core.grants[OTHER_HASH]))
    found = await cache.find([OTHER_HASH])
    assert found is not None


async def test_a_change_during_a_look_up_is_not_undone_by_its_answer(
    cache: GrantCache, core: CoreGrants
) -> None:
    """A revocation overtakes the answer that was on its way (P11)."""
    core.door.clear()
    asking = asyncio.create_task(cache.find([SECRET_HASH]))
    await asyncio.sleep(0)
    cache.refresh(grant(version=2, state=REVOKED))
    core.door.set()
    found = await asking
    assert found is not None
    assert found.state == REVOKED


async def test_an_answer_from_before_a_reset_is_asked_for_again(
    cache: GrantCache, core: CoreGrants
) -> None:
    """The feed skipped what happened meanwhile, so the answer may be out of date."""
    core.door.clear()
    asking = asyncio.create_task(cache.find([SECRET_HASH]))
    await asyncio.sleep(0)
    core.grants[SECRET_HASH] = grant_message(2, state=REVOKED)
    cache.clear()
    core.door.set()
    found = await asking
    assert found is not None
    assert found.state == REVOKED


async def test_changes_of_keys_that_nobody_uses_here_are_not_kept(cache: GrantCache) -> None:
    """An edge knows its own keys only."""
    cache.refresh(grant(version=7))
    assert len(cache) == 0


async def test_a_rotated_secret_works_until_its_grace_ends(
    cache: GrantCache, core: CoreGrants, clock: ManualClock
) -> None:
    """The end of the grace needs no message."""
    message = grant_message(1, secrets=[OTHER_HASH])
    ends = clock.now_ns() // 1_000 + 60_000_000
    message.secrets.append(grant_pb2.GrantSecret(secret_hash=SECRET_HASH, expires_at_micros=ends))
    cache.put(grant_from(message))
    assert cache.known(SECRET_HASH) is not None
    clock.pass_time(61)
    assert cache.known(SECRET_HASH) is None
    assert cache.known(OTHER_HASH) is not None


async def test_a_secret_that_a_newer_version_lacks_no_longer_works(cache: GrantCache) -> None:
    """Old secrets leave with the version that had them."""
    cache.put(grant(version=1))
    cache.put(grant(version=2, secrets=[OTHER_HASH]))
    assert cache.known(SECRET_HASH) is None
    assert cache.known(OTHER_HASH) is not None


async def test_core_away_is_said_and_not_remembered(clock: ManualClock) -> None:
    """An outage must not look like an unknown key."""

    async def away(_: list[bytes]) -> grant_pb2.Grant:
        raise Unavailable

    cache = GrantCache(away, clock)
    for _ in range(2):
        with pytest.raises(DomainError):
            await cache.find([SECRET_HASH])


async def test_a_network_that_cannot_be_read_admits_nobody() -> None:
    """A rule that we do not understand is never taken for no rule."""
    (network,) = grant(allowed_networks=["999.0.0.0/8"]).networks
    assert network.num_addresses == 1


@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "refresh"]), st.integers(1, 9)), max_size=30)
)
def test_the_highest_version_wins_in_any_order(steps: list[tuple[str, int]]) -> None:
    """Answers and changes may come in any order, repeated or late."""
    cache = GrantCache(CoreGrants().fetch, ManualClock())
    kept = 0
    for kind, version in steps:
        getattr(cache, kind)(grant(version=version))
        if kind == "put" or kept:
            kept = max(kept, version)
        found = cache.known(SECRET_HASH)
        assert (found.version if found else 0) == kept

"""Whether a request may be served, and on what terms."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge.admission.admit import Admitted
from edge.admission.grants import State
from edge.core_link import SKEW_MARKS
from edge.errors import ApiError
from kit.secret import new_secret
from oneapi.admission.v1 import admission_service_pb2 as pb2
from oneapi.admission.v1 import snapshot_pb2
from oneapi.common.v1.data_policy_pb2 import DataPolicy as Policy
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.doubles import grant
from tests.unit.edge.admission.world import DOLLAR, SHAPE, AdmissionWorld, add_price, snapshot

INPUT_NANOS = 1_000_000
TOKEN_NANOS = 4_000


@pytest.fixture
def world() -> AdmissionWorld:
    """Give a workspace with a dollar."""
    return AdmissionWorld()


async def refusal(asked: Any) -> ApiError:
    """Return the error that is raised."""
    with pytest.raises(ApiError) as raised:
        await asked
    return raised.value


# --- authenticate


async def test_a_good_key_finds_its_grant(world: AdmissionWorld) -> None:
    """The keyed hash is all that leaves the edge."""
    found = await world.admission.authenticate(world.secret, "127.0.0.1")
    assert found.version == 1


@pytest.mark.parametrize("secret", ["", "sk-someone-elses", "1ac_live_" + "0" * 49])
async def test_a_mistyped_key_is_refused_without_asking(world: AdmissionWorld, secret: str) -> None:
    """The checksum keeps typing errors away from core."""
    assert (await refusal(world.admission.authenticate(secret, None))).status == 401
    assert world.grants.asked == 0


async def test_an_unknown_key_is_refused(world: AdmissionWorld) -> None:
    """Well formed is not enough."""
    assert (await refusal(world.admission.authenticate(new_secret(), None))).status == 401


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.STATE_KEY_DISABLED, 403),
        (State.STATE_KEY_REVOKED, 401),
        (State.STATE_KEY_EXPIRED, 401),
        (State.STATE_WORKSPACE_NOT_ACTIVE, 403),
        (State.STATE_UNSPECIFIED, 401),
    ],
)
async def test_a_key_that_is_not_active_is_refused(
    world: AdmissionWorld, state: State.ValueType, status: int
) -> None:
    """A state that we do not know is refused as well."""
    for message in world.grants.grants.values():
        message.state = state
    assert (await refusal(world.admission.authenticate(world.secret, None))).status == status


async def test_a_key_expires_by_itself(world: AdmissionWorld) -> None:
    """Its end needs no message and no job."""
    for message in world.grants.grants.values():
        message.expires_at_micros = world.clock.now_ns() // 1_000 + 60_000_000
    await world.admission.authenticate(world.secret, None)
    world.clock.pass_time(60)
    error = await refusal(world.admission.authenticate(world.secret, None))
    assert error.code == "api_key_expired"


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [("10.1.2.3", True), ("::1", True), ("10.2.0.1", False), (None, False), ("?", False)],
)
async def test_a_key_with_networks_works_from_there_only(
    world: AdmissionWorld, peer: str | None, *, allowed: bool
) -> None:
    """An address that we cannot read is not an allowed one."""
    for message in world.grants.grants.values():
        message.allowed_networks.extend(["10.1.0.0/16", "::1/128"])
    asked = world.admission.authenticate(world.secret, peer)
    if allowed:
        await asked
    else:
        assert (await refusal(asked)).code == "address_not_allowed"


async def test_a_message_that_was_long_on_its_way_counts_from_its_sending(
    world: AdmissionWorld,
) -> None:
    """What a wire that hung had in store is no sign that core is there now."""
    world.clock.pass_time(500)
    then = world.clock.now_ns() // 1_000 - 400_000_000
    world.link._take(pb2.WatchChangesResponse(server_time_micros=then, polled_at_micros=then))
    assert world.link.usable
    world.clock.pass_time(201)
    assert not world.link.usable


async def test_an_edge_that_lost_touch_with_core_stops(world: AdmissionWorld) -> None:
    """Time counts from core's last poll (P11), not from the message that brought it."""
    world.mark(late_micros=400_000_000)
    await world.admission.authenticate(world.secret, None)
    world.clock.pass_time(201)
    assert (await refusal(world.admission.authenticate(world.secret, None))).code == "not_in_touch"
    world.mark()
    await world.admission.authenticate(world.secret, None)


async def test_an_edge_whose_clock_is_off_stops(world: AdmissionWorld) -> None:
    """Ids carry the time: a wrong clock would put records into wrong months."""
    world.link._note_time(world.clock.now_ns() // 1_000 + 3_000_000)
    assert (await refusal(world.admission.authenticate(world.secret, None))).code == "not_in_touch"


async def test_a_late_message_is_not_taken_for_a_wrong_clock(world: AdmissionWorld) -> None:
    """A busy wire says nothing of the clock; if every message is late, it is the clock."""
    server_time = world.clock.now_ns() // 1_000 - 5_000_000
    for _ in range(SKEW_MARKS - 1):
        world.link._note_time(server_time)
        await world.admission.authenticate(world.secret, None)
    world.link._note_time(server_time)
    assert (await refusal(world.admission.authenticate(world.secret, None))).code == "not_in_touch"


async def test_a_revocation_takes_effect_with_its_message(world: AdmissionWorld) -> None:
    """No request after it goes on (P11)."""
    await world.admission.authenticate(world.secret, None)
    (message,) = world.grants.grants.values()
    message.version, message.state = 2, State.STATE_KEY_REVOKED
    world.mark(grants=[message])
    error = await refusal(world.admission.authenticate(world.secret, None))
    assert error.code == "api_key_revoked"


def test_an_older_catalogue_never_replaces_a_newer_one(world: AdmissionWorld) -> None:
    """Cores may answer in any order after a failover."""
    world.mark(catalog=snapshot(5))
    world.mark(catalog=snapshot(4))
    assert world.link.catalog.version == 5


# --- choose


@pytest.mark.parametrize(
    ("name", "lane"),
    [("small", 1), ("small-latest", 1), ("small:economy", 2), ("small:default", 1)],
)
def test_the_model_name_may_carry_a_lane(world: AdmissionWorld, name: str, lane: int) -> None:
    """`model:lane` is how clients without headers choose."""
    choice = world.choose(name)
    assert (choice.model.public_id, choice.lane) == ("small", lane)


def test_the_header_goes_before_the_suffix_and_the_tier(world: AdmissionWorld) -> None:
    """The more explicit wins."""
    assert world.choose("small:default", "economy").lane == Lane.LANE_ECONOMY


@pytest.mark.parametrize(("tier", "lane"), [("flex", 2), ("default", 1), (None, 1), (5, 1)])
def test_openai_service_tiers_choose_lanes(world: AdmissionWorld, tier: object, lane: int) -> None:
    """An unmodified OpenAI client can ask for the cheap lane."""
    assert world.admission.choose(grant(), "small", None, tier).lane == lane


def test_the_key_chooses_where_the_request_does_not(world: AdmissionWorld) -> None:
    """The record keeps that nothing was requested."""
    choice = world.admission.choose(grant(lane=Lane.LANE_ECONOMY), "small", None, None)
    assert (choice.requested_lane, choice.lane) == (0, Lane.LANE_ECONOMY)


def test_the_key_s_own_names_and_default_model_are_known(world: AdmissionWorld) -> None:
    """Aliases of a key stand for catalogue numbers."""
    aliases = [{"alias": "My-Model", "model": "small"}]
    assert world.choose("My-Model", aliases=aliases).model.number == 1
    assert world.choose("My-Model:economy", aliases=aliases).lane == Lane.LANE_ECONOMY
    assert world.choose(None, default_model="small-latest").model.number == 1


@pytest.mark.parametrize(
    ("name", "lane", "key", "expected"),
    [
        ("huge", None, {}, (404, "model_not_found")),
        ("off", None, {}, (404, "model_not_found")),
        ("small:later", None, {}, (404, "model_not_found")),
        (None, None, {}, (400, "missing_required_parameter")),
        ("small", "express", {}, (400, "unknown_lane")),
        ("small", None, {"allowed_models": ["huge"]}, (403, "model_not_allowed")),
        ("unpriced", None, {}, (400, "model_not_priced")),
        ("small", "coding", {}, (400, "model_not_priced")),
        ("unrouted", None, {}, (503, "no_upstream")),
        ("dark", None, {}, (503, "no_upstream")),
    ],
)
def test_what_cannot_be_served_is_refused(
    world: AdmissionWorld,
    name: str | None,
    lane: str | None,
    key: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    """Each refusal has its own code; nothing is ever served unpriced."""
    with pytest.raises(ApiError) as raised:
        world.choose(name, lane, **key)
    assert (raised.value.status, raised.value.code) == expected


def test_zero_retention_leaves_only_upstreams_that_keep_nothing(world: AdmissionWorld) -> None:
    """Not one of the others is in the route: fallback has nowhere else to go."""
    world.mark(catalog=classed(2, Policy.DATA_POLICY_RETAINS, Policy.DATA_POLICY_ZERO_RETENTION))
    route = world.choose(requires_zero_retention=True).route
    assert [item.upstream.name for item in route.candidates] == ["second"]
    assert [item.upstream.name for item in world.choose().route.candidates] == ["first", "second"]


@pytest.mark.parametrize(
    "policy",
    [Policy.DATA_POLICY_UNSPECIFIED, Policy.DATA_POLICY_TRAINS, Policy.DATA_POLICY_RETAINS, 77],
)
def test_zero_retention_without_a_fitting_upstream_is_refused(
    world: AdmissionWorld, policy: int
) -> None:
    """It fails closed: what is not known, or not known to us, does not count as keeping nothing."""
    world.mark(catalog=classed(2, policy, policy))
    with pytest.raises(ApiError) as raised:
        world.choose(requires_zero_retention=True)
    assert (raised.value.status, raised.value.code) == (403, "no_zero_retention_upstream")
    assert world.choose().route.candidates


def test_an_upstream_that_begins_to_keep_things_leaves_the_route_at_once(
    world: AdmissionWorld,
) -> None:
    """What was decided on the catalogue before is decided anew."""
    zero = Policy.DATA_POLICY_ZERO_RETENTION
    world.mark(catalog=classed(2, zero, zero))
    before = world.link.catalog
    assert len(world.choose(requires_zero_retention=True).route.candidates) == 2
    world.mark(catalog=classed(3, Policy.DATA_POLICY_RETAINS, zero))
    assert len(world.choose(requires_zero_retention=True).route.candidates) == 1
    assert not world.admission.stands(grant(), before)


def classed(version: int, first: int, second: int) -> snapshot_pb2.CatalogSnapshot:
    """Return the catalogue with these data policies of its two upstreams."""
    message = snapshot(version)
    for item, policy in zip(message.upstreams, (first, second), strict=False):
        item.upstream.data_policy = Policy.ValueType(policy)
    return message


# --- admit


def test_a_name_of_a_key_stands_for_what_the_catalogue_says_now(world: AdmissionWorld) -> None:
    """An alias that moves to another model moves for every key that names it, at once."""
    key: dict[str, Any] = {
        "aliases": [{"alias": "mine", "model": "small-latest"}],
        "default_model": "small-latest",
        "allowed_models": ["small-latest"],
    }
    assert world.choose("mine", **key).model.public_id == "small"
    moved = snapshot(2)
    add_price(moved, 2, Lane.LANE_DEFAULT, 0)
    moved.models[0].aliases[:] = []
    moved.models[1].aliases.append("small-latest")
    world.mark(catalog=moved)
    for name in ("mine", None, "small-latest"):
        assert world.choose(name, **key).model.public_id == "unpriced"
    with pytest.raises(ApiError) as raised:
        world.choose("small", **key)
    assert raised.value.code == "model_not_allowed"


def test_an_older_catalogue_never_comes_back(world: AdmissionWorld) -> None:
    """Nor another one of the same number, from a core that read it before."""
    gone = snapshot(2)
    gone.models[0].enabled = False
    world.mark(catalog=gone)
    for version in (1, 2):
        world.mark(catalog=snapshot(version))
        with pytest.raises(ApiError) as raised:
            world.choose("small")
        assert raised.value.code == "model_not_found"


async def test_the_hold_is_the_worst_case(world: AdmissionWorld) -> None:
    """A thousand input tokens and a hundred output tokens at the price in force."""
    admitted = await world.admit(limit=100)
    assert admitted.hold.nanos == INPUT_NANOS + 100 * TOKEN_NANOS
    assert admitted.limit.applied is None


async def test_a_limit_above_the_model_s_own_holds_the_model_s(world: AdmissionWorld) -> None:
    """A client that asks for a million tokens cannot get them."""
    admitted = await world.admit(limit=1_000_000)
    assert admitted.limit.tokens == 8_192


async def test_without_a_limit_the_model_s_own_is_held_and_not_sent(world: AdmissionWorld) -> None:
    """A wallet with plenty is not limited."""
    admitted = await world.admit()
    assert (admitted.limit.tokens, admitted.limit.applied) == (8_192, None)


async def test_a_small_wallet_is_limited_to_4096_tokens() -> None:
    """The limit that we chose goes upstream and into a header."""
    world = AdmissionWorld(wallet=INPUT_NANOS + 5_000 * TOKEN_NANOS)
    admitted = await world.admit()
    assert (admitted.limit.tokens, admitted.limit.applied) == (4_096, 4_096)


async def test_a_tiny_wallet_is_limited_to_what_is_there() -> None:
    """The last cents can be used."""
    world = AdmissionWorld(wallet=INPUT_NANOS + 50 * TOKEN_NANOS)
    admitted = await world.admit()
    assert admitted.limit.applied == 50
    assert admitted.hold.nanos == INPUT_NANOS + 50 * TOKEN_NANOS


async def test_an_explicit_limit_that_cannot_be_paid_for_says_what_can() -> None:
    """402, no retry, and the largest limit that would fit."""
    world = AdmissionWorld(wallet=INPUT_NANOS + 50 * TOKEN_NANOS)
    error = await refusal(world.admit(limit=51))
    assert (error.status, error.code) == (402, "insufficient_credits")
    assert error.headers == {b"x-should-retry": b"false"}
    assert "at most 50 output tokens" in error.message
    assert "0.001204 US dollars" in error.message


async def test_an_empty_wallet_is_told_to_add_credits() -> None:
    """No limit would help."""
    error = await refusal(AdmissionWorld(wallet=0).admit())
    assert (error.status, error.message.endswith("Add credits.")) == (402, True)
    assert "0.001004 US dollars" in error.message


async def test_a_top_up_helps_at_once_also_without_a_limit() -> None:
    """The balance that a limit is chosen from is asked for anew before a 402."""
    world = AdmissionWorld(wallet=INPUT_NANOS + 10 * TOKEN_NANOS)
    (await world.admit()).hold.settle(INPUT_NANOS + 10 * TOKEN_NANOS)
    assert (await refusal(world.admit())).status == 402
    world.ledger.wallet = DOLLAR
    world.clock.pass_time(1)
    assert (await world.admit()).limit.tokens == 8_192


async def test_a_balance_that_went_elsewhere_leads_to_a_smaller_limit() -> None:
    """A limit that we chose ourselves is no reason for a 402."""
    world = AdmissionWorld(wallet=DOLLAR)
    await world.link.credit.of(b"w" * 16).learn()
    world.ledger.wallet = INPUT_NANOS + 20 * TOKEN_NANOS
    assert (await world.admit()).limit.applied == 20


async def test_a_cost_ceiling_is_held_exactly_and_caps_the_output(world: AdmissionWorld) -> None:
    """`x-max-cost` is a promise: no more than that can be charged."""
    admitted = await world.admit(max_cost="0.00104")
    assert admitted.hold.nanos == 1_040_000
    assert admitted.limit.applied == 10


async def test_a_cost_ceiling_leaves_a_smaller_limit_alone(world: AdmissionWorld) -> None:
    """The client's own limit fits: nothing is applied."""
    admitted = await world.admit(limit=5, max_cost="0.5")
    assert (admitted.limit.tokens, admitted.limit.applied) == (5, None)


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "much", "", "0,5", "\xbd", "nan"])
async def test_a_ceiling_that_is_no_amount_is_refused(world: AdmissionWorld, text: str) -> None:
    """A misread ceiling would be no ceiling."""
    assert (await refusal(world.admit(max_cost=text))).code == "invalid_max_cost"


@pytest.mark.parametrize("limit", [None, 100])
@pytest.mark.parametrize("ceiling", ["0.001003", "0.000001"])
async def test_a_ceiling_below_the_input_is_refused(
    world: AdmissionWorld, ceiling: str, limit: int | None
) -> None:
    """Not even one output token fits, whatever the wallet has."""
    error = await refusal(world.admit(max_cost=ceiling, limit=limit))
    assert (error.status, error.code) == (400, "max_cost_too_low")


async def test_a_burst_is_admitted_for_what_is_there() -> None:
    """Twenty at once with credit for seven: seven go on."""
    cost = INPUT_NANOS + 100 * TOKEN_NANOS
    world = AdmissionWorld(wallet=7 * cost)
    results = await asyncio.gather(
        *(world.admit(limit=100) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, Admitted) for one in results) == 7
    refused = [one for one in results if isinstance(one, ApiError)]
    assert {(one.status, one.code) for one in refused} == {(503, "credit_in_use")}


async def test_a_refused_hold_gives_the_limits_back() -> None:
    """A request that was not served counts against no limit."""
    world = AdmissionWorld(wallet=10)
    world.limits.permits = world.limits.requests = 1
    key: dict[str, Any] = {"concurrent_requests": 1, "requests_per_minute": 1}
    assert (await refusal(world.admit(limit=100, **key))).status == 402
    world.ledger.wallet = DOLLAR
    world.clock.pass_time(1)
    assert (await world.admit(limit=100, **key)).limits is not None


async def test_a_used_up_limit_is_429_with_its_times(world: AdmissionWorld) -> None:
    """SDKs wait as long as they are told."""
    world.limits.requests = 0
    error = await refusal(world.admit(limit=1, requests_per_minute=1))
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error.headers == {b"retry-after": b"61", b"retry-after-ms": b"60001"}


async def test_a_used_up_spend_limit_is_429_that_bars_retries(world: AdmissionWorld) -> None:
    """Coming again costs attempts and does not help."""
    world.limits.spend = 0
    error = await refusal(world.admit(limit=1, has_spend_limit=True))
    assert (error.status, error.code) == (429, "spend_limit_reached")
    assert error.headers == {b"x-should-retry": b"false"}


async def test_a_withdrawn_request_counts_against_nothing(world: AdmissionWorld) -> None:
    """It was refused after its admission: its credit and its place are there for the next."""
    world.limits.permits = world.limits.requests = 1
    key: dict[str, Any] = {"concurrent_requests": 1, "requests_per_minute": 1}
    world.admission.withdraw(await world.admit(limit=100, **key))
    assert world.link.credit.held_nanos() == 0
    assert (await world.admit(limit=100, **key)).limits is not None


async def test_core_away_without_credit_here_is_503(world: AdmissionWorld) -> None:
    """An outage is no 402."""
    world.ledger.away = True
    error = await refusal(world.admit(limit=1))
    assert (error.status, error.code) == (503, "billing_unavailable")
    assert b"retry-after-ms" in error.headers


async def test_settling_gives_back_what_was_not_used(world: AdmissionWorld) -> None:
    """Hold, tokens and concurrency."""
    world.limits.permits = 1
    key: dict[str, Any] = {"concurrent_requests": 1, "tokens_per_minute": 1_000}
    admitted = await world.admit(limit=100, **key)
    world.admission.settle(admitted, 500, 10)
    account = world.link.credit.of(b"w" * 16)
    assert account.lease is not None
    assert (account.lease.held, account.lease.used) == (0, 500)
    assert (await world.admit(limit=100, **key)).limits is not None


def test_the_shape_of_these_tests_is_what_they_say() -> None:
    """A thousand input tokens."""
    assert SHAPE.input_tokens == 1_000

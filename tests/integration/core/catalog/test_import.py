"""Importing catalogue documents and publishing prices."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from core.catalog import service, store
from core.catalog.diff import ChangeLine
from core.catalog.document import DEFAULT_POLICIES
from core.catalog.messages import snapshot_message
from core.catalog.model import Policy, StoredPrice
from core.catalog.providers import DEMO_PATHS
from core.catalog.sealing import Sealer
from core.catalog.seeding import seed_catalog
from core.keyring import Keyring
from edge.admission.catalog import ENDPOINT_KINDS, LANE_NAMES, can_serve
from edge.admission.catalog import Catalog as EdgeCatalog
from kit.charge import DIMENSIONS, PriceTier
from kit.clock import now
from kit.reasons import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PriceInThePast,
    RequestIdReused,
)
from oneapi.catalog.v1.catalog_pb2 import EndpointState
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.integration.core.catalog.documents import (
    ACME,
    ALL_LANES,
    SEALER,
    catalog_of,
    document,
    load,
    model,
    upstreams,
)
from tests.integration.core.conftest import World


async def publish(
    world: World, *rates: int, begins: datetime | None = None, request_id: str = "request-price"
) -> StoredPrice:
    """Publish a price of the default lane whose first rates are given."""
    tier = PriceTier(0, (*rates, *[0] * (DIMENSIONS - len(rates))))
    async with world.pool.transaction("system") as tx:
        price = await service.publish_price(
            tx,
            world.act(),
            request_id=request_id,
            public_id="m-one",
            lane="default",
            effective_from=begins,
            tiers=(tier,),
        )
        await tx.commit()
    return price


async def prices_of(world: World) -> list[tuple[str, int]]:
    """Lane and input rate of each price version, oldest first."""
    async with world.pool.transaction("system") as tx:
        found = await store.list_prices(tx, public_id="", before=2**31 - 1, limit=100)
    return [(price.lane, price.tiers[0].rates[0]) for price in reversed(found)]


async def test_a_new_model_gets_routes_and_prices_in_all_lanes(world: World) -> None:
    """Where a document names no lanes, all five are meant."""
    lines = await load(world, document(model()))
    catalog = await catalog_of(world)
    assert len(catalog.models["m-one"].routes) == ALL_LANES
    assert len(catalog.prices) == ALL_LANES
    assert {line.kind for line in lines} == {"upstream", "model", "route", "price"}


async def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    """People see what an import does before it does it."""
    said = await load(world, document(model()), dry_run=True)
    assert (await catalog_of(world)).models == {}
    assert await load(world, document(model())) == said


async def test_importing_the_same_document_again_changes_nothing(world: World) -> None:
    """No lines, no new price versions, no change of the feed."""
    await load(world, document(model()))
    world.clock.move(hours=1)
    assert await load(world, document(model())) == []
    async with world.pool.transaction("system") as tx:
        assert len(await tx.all("SELECT sequence FROM change_log")) == 1


async def test_an_import_is_one_audit_row_and_one_change(world: World) -> None:
    """Edges reload once, and somebody did it."""
    await load(world, document(model(), model("m-two")))
    async with world.pool.transaction("system") as tx:
        changes = await tx.all("SELECT kind, object_id FROM change_log")
        audit = await tx.all("SELECT actor, action FROM audit_log")
    assert [tuple(row) for row in changes] == [(3, None)]
    assert [tuple(row) for row in audit] == [("operator", "catalog.ImportCatalog")]


async def test_missing_rates_are_filled_in_by_the_rule(world: World) -> None:
    """No dimension is free by omission."""
    tier = {"input": 10, "output": 20, "cache_write": 30}
    await load(world, document(model(prices=[{"lanes": ["default"], "tiers": [tier]}])))
    catalog = await catalog_of(world)
    rates = catalog.prices["m-one", "default"][0].tiers[0].rates
    assert rates == (10, 10, 30, 30, 20, 20, 10, 20, 10, 20, 0, 0)


async def test_a_changed_rate_makes_a_new_version_of_that_lane_only(world: World) -> None:
    """The old version stays as it is, for every record that names it."""
    price = [{"lanes": ["default", "economy"], "tiers": [{"input": 10, "output": 20}]}]
    await load(world, document(model(prices=price)))
    world.clock.move(hours=1)
    changed = [
        {"lanes": ["default"], "tiers": [{"input": 10, "output": 20}]},
        {"lanes": ["economy"], "tiers": [{"input": 5, "output": 20}]},
    ]
    lines = await load(world, document(model(prices=changed)))
    assert [(line.kind, line.name) for line in lines] == [("price", "m-one economy")]
    assert lines[0].before.startswith("input 0.00000001")
    assert await prices_of(world) == [("default", 10), ("economy", 10), ("economy", 5)]


async def test_context_tiers_come_back_in_order(world: World) -> None:
    """Long requests cost what the document says."""
    tiers = [
        {"input": 1, "output": 2},
        {"above_context_tokens": 500, "input": 3, "output": 4},
    ]
    await load(world, document(model(prices=[{"lanes": ["default"], "tiers": tiers}])))
    found = (await catalog_of(world)).prices["m-one", "default"][0].tiers
    assert [(tier.above_context_tokens, tier.rates[0]) for tier in found] == [(0, 1), (500, 3)]


async def test_a_price_in_the_past_is_refused(world: World) -> None:
    """What was served is never priced again."""
    moment = (now(world.clock) - timedelta(seconds=1)).isoformat()
    price = {"effective_from": moment, "tiers": [{"input": 1, "output": 2}]}
    with pytest.raises(PriceInThePast):
        await load(world, document(model(prices=[price])))
    assert (await catalog_of(world)).models == {}


async def test_a_later_price_waits_for_its_instant(world: World) -> None:
    """Both versions are known to edges; each applies in its time."""
    moment = (now(world.clock) + timedelta(hours=2)).isoformat()
    entries = [
        {"lanes": ["default"], "effective_from": moment, "tiers": [{"input": 7, "output": 2}]},
        {"lanes": ["default"], "tiers": [{"input": 1, "output": 2}]},
    ]
    await load(world, document(model(prices=entries)))
    assert await load(world, document(model(prices=entries))) == []
    found = (await catalog_of(world)).prices["m-one", "default"]
    assert [price.tiers[0].rates[0] for price in found] == [1, 7]
    world.clock.move(hours=3)
    found = (await catalog_of(world)).prices["m-one", "default"]
    assert [price.tiers[0].rates[0] for price in found] == [7]


async def test_models_are_disabled_by_a_complete_document_only(world: World) -> None:
    """Nothing is ever deleted, and a partial document leaves other models alone."""
    await load(world, document(model(), model("m-two")))
    await load(world, document(model()))
    assert (await catalog_of(world)).models["m-two"].facts.enabled
    lines = await load(world, document(model(), complete=True))
    assert lines == [ChangeLine("model", "m-two", "enabled true", "enabled false")]
    assert not (await catalog_of(world)).models["m-two"].facts.enabled


async def test_model_numbers_survive_changes(world: World) -> None:
    """Usage records name models by number."""
    await load(world, document(model()))
    before = (await catalog_of(world)).models["m-one"]
    await load(world, document(model(display_name="New name")))
    after = (await catalog_of(world)).models["m-one"]
    assert (after.number, after.created_at) == (before.number, before.created_at)
    assert after.facts.display_name == "New name"


async def test_an_alias_can_move_between_the_models_of_a_document(world: World) -> None:
    """Both models are in the document, so both know."""
    await load(world, document(model(aliases=["fast"]), model("m-two")))
    await load(world, document(model(), model("m-two", aliases=["fast"])))
    catalog = await catalog_of(world)
    assert catalog.models["m-one"].facts.aliases == ()
    assert catalog.models["m-two"].facts.aliases == ("fast",)


async def test_an_alias_of_another_model_cannot_be_taken(world: World) -> None:
    """A document may not redirect a name of a model that it does not mention."""
    await load(world, document(model(aliases=["fast"])))
    with pytest.raises(InvalidArgument):
        await load(world, document(model("m-two", aliases=["fast"])))


async def test_a_route_that_is_left_out_is_removed(world: World) -> None:
    """The document's routes of a model are all its routes."""
    await load(world, document(model()))
    one = [{"lanes": ["default"], "candidates": [{"upstream": "acme", "upstream_model": "M2"}]}]
    await load(world, document(model(routes=one)))
    (route,) = (await catalog_of(world)).models["m-one"].routes
    assert (route.lane, route.candidates[0].upstream_model) == ("default", "M2")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"{}", "format"),
        (b"not json", "document"),
        (document(model(surprise=1)), "models.0.surprise"),
        (document(model(context_tokens=1.5)), "models.0.context_tokens"),
        (document(model(public_id="Upper")), "models.0.public_id"),
        (document(model(), model()), "models.public_id"),
        (document(model(aliases=["m-one"])), "models.aliases"),
        (document(model(max_output_tokens=2000)), "models.0.max_output_tokens"),
        (document(model(prices=[{"tiers": [{"input": -1, "output": 1}]}])), "prices.0.tiers.0"),
        (
            document(
                model(prices=[{"tiers": [{"above_context_tokens": 5, "input": 1, "output": 1}]}])
            ),
            "models.0.prices.0.tiers",
        ),
        (
            document(
                model(routes=[{"candidates": [{"upstream": "nobody", "upstream_model": "x"}]}])
            ),
            "models.0.routes.candidates.upstream",
        ),
        (
            document(
                model(
                    prices=[
                        {
                            "effective_from": "2027-06-01T00:00:00",
                            "tiers": [{"input": 1, "output": 1}],
                        }
                    ]
                )
            ),
            "models.0.prices.0.effective_from",
        ),
    ],
)
async def test_a_wrong_document_is_refused_by_place(
    world: World, content: bytes, place: str
) -> None:
    """The answer says where, and repeats nothing of the document."""
    with pytest.raises(InvalidArgument) as caught:
        await load(world, content)
    assert place in caught.value.metadata["fields"]


async def test_an_upstream_is_on_while_it_has_a_credential(world: World) -> None:
    """Credentials come from core's environment; the database holds the sealed form only."""
    await load(world, document(), ACME_API_KEY="acme-credential")
    acme = (await catalog_of(world)).upstreams["acme"]
    assert acme.enabled
    assert acme.credential_sealed is not None
    assert b"acme-credential" not in acme.credential_sealed
    assert SEALER.open("acme", acme.credential_sealed) == b"acme-credential"


async def test_connecting_again_without_the_variable_turns_the_upstream_off(world: World) -> None:
    """The environment is the truth about credentials, at each start."""
    await load(world, document(), ACME_API_KEY="acme-credential")
    async with world.pool.transaction("system") as tx:
        assert await service.connect_upstreams(tx, world.act(), upstreams())
        await tx.commit()
    acme = (await catalog_of(world)).upstreams["acme"]
    assert (acme.enabled, acme.credential_sealed) == (False, None)


async def test_connecting_with_the_same_variables_changes_nothing(world: World) -> None:
    """A restart does not make edges reload."""
    await load(world, document(), ACME_API_KEY="acme-credential")
    async with world.pool.transaction("system") as tx:
        same = upstreams(ACME_API_KEY="acme-credential")
        assert not await service.connect_upstreams(tx, world.act(), same)


async def test_a_base_url_variable_points_an_upstream_elsewhere(world: World) -> None:
    """Also after an import, which knows the usual address only."""
    elsewhere = "http://127.0.0.1:4711/v1"
    await load(world, document(), ACME_BASE_URL=elsewhere)
    assert (await catalog_of(world)).upstreams["acme"].facts.base_url == elsewhere
    assert await load(world, document(), ACME_BASE_URL=elsewhere) == []


async def test_a_snapshot_carries_opened_credentials(world: World) -> None:
    """Edges get what their requests carry; the catalogue's own lists do not have it."""
    await load(world, document(model()), ACME_API_KEY="acme-credential")
    snapshot = snapshot_message(await catalog_of(world), 9, SEALER)
    assert snapshot.version == 9
    assert snapshot.upstreams[0].credential == b"acme-credential"
    assert len(snapshot.routes) == len(snapshot.prices) == ALL_LANES


async def test_a_credential_under_a_lost_key_turns_the_upstream_off_for_edges(
    world: World,
) -> None:
    """Core goes on; nobody sends an empty credential to a provider."""
    await load(world, document(model()), ACME_API_KEY="acme-credential")
    other = Sealer(Keyring({1: b"x" * 32}))
    (upstream,) = snapshot_message(await catalog_of(world), 1, other).upstreams
    assert (upstream.upstream.enabled, upstream.credential) == (False, b"")


async def test_a_published_price_applies_from_now(world: World) -> None:
    """One version more; the answer names its number."""
    await load(world, document(model()))
    world.clock.move(seconds=1)
    price = await publish(world, 77)
    found = (await catalog_of(world)).prices["m-one", "default"]
    assert [item.number for item in found] == [price.number]
    assert price.tiers[0].rates[0] == 77


async def test_a_repeated_publication_answers_the_same_version(world: World) -> None:
    """A resent call makes no second version."""
    await load(world, document(model()))
    world.clock.move(seconds=1)
    first = await publish(world, 77)
    world.clock.move(seconds=1)
    assert await publish(world, 77) == first


async def test_publishing_the_price_in_force_answers_it(world: World) -> None:
    """Also when that call is repeated."""
    await load(world, document(model()))
    world.clock.move(seconds=1)
    first = await publish(world, 77)
    assert await publish(world, 77, request_id="request-again") == first
    assert await publish(world, 77, request_id="request-again") == first


async def test_a_request_id_publishes_one_price_only(world: World) -> None:
    """The same id with other rates is a mistake of the caller."""
    await load(world, document(model()))
    world.clock.move(seconds=1)
    await publish(world, 77)
    with pytest.raises(RequestIdReused):
        await publish(world, 78)


async def test_a_publication_in_the_past_is_refused(world: World) -> None:
    """Even by a second."""
    await load(world, document(model()))
    with pytest.raises(PriceInThePast):
        await publish(world, 77, begins=now(world.clock) - timedelta(seconds=1))


async def test_two_prices_cannot_start_at_the_same_instant(world: World) -> None:
    """Which of them applied would be anybody's guess."""
    await load(world, document(model()))
    begins = now(world.clock) + timedelta(hours=1)
    await publish(world, 77, begins=begins)
    with pytest.raises(AlreadyExists):
        await publish(world, 78, begins=begins, request_id="request-other")


async def test_an_unknown_model_cannot_be_priced(world: World) -> None:
    """A typing error is told, not stored."""
    with pytest.raises(NotFound):
        await publish(world, 77)


async def test_the_seed_is_imported_once(world: World) -> None:
    """A second start keeps what people have changed since."""
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    catalog = await catalog_of(world)
    assert {"gpt-4o", "claude-sonnet-4.5", "demo"} <= catalog.models.keys()
    world.clock.move(hours=1)
    tiers = [{"input": 5, "output": 5}]
    await load(world, document(model("gpt-4o", prices=[{"lanes": ["default"], "tiers": tiers}])))
    changed = await catalog_of(world)
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    assert await catalog_of(world) == changed


async def test_every_routed_model_of_the_seed_has_a_price_in_each_of_its_lanes(
    world: World,
) -> None:
    """Unpriced would mean refused; zero would mean free, which only moderation is.

    Of text each dimension can occur; the other kinds are priced by what they count.
    """
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    catalog = await catalog_of(world)
    for public_id, stored in catalog.models.items():
        assert stored.facts.enabled == bool(stored.routes)
        for route in stored.routes:
            (price,) = catalog.prices[public_id, route.lane]
            lowest = max if stored.facts.kind != "text" else min
            free = stored.facts.kind == "moderation"
            assert all((lowest(tier.rates[:10]) > 0) != free for tier in price.tiers)


async def test_the_seed_s_models_can_be_served_by_an_endpoint_of_their_kind(world: World) -> None:
    """As an edge sees it: with all credentials, every endpoint has a model."""
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    snapshot = snapshot_message(await catalog_of(world), 1, SEALER)
    for item in snapshot.upstreams:
        item.upstream.enabled = True
    edge = EdgeCatalog(snapshot)
    for one in edge.models.values():
        endpoints = [endpoint for endpoint, kind in ENDPOINT_KINDS.items() if kind == one.kind]
        for lane in LANE_NAMES.values():
            route = edge.route(one, lane)
            for candidate in route.candidates if route else ():
                assert any(can_serve(candidate, each) for each in endpoints), one.public_id
    states = {one: edge.endpoint_state(one) for one in ENDPOINT_KINDS}
    assert EndpointState.STATUS_NOT_AVAILABLE not in states.values()
    assert states[Endpoint.ENDPOINT_CHAT_COMPLETIONS] == EndpointState.STATUS_READY


async def test_zero_retention_of_the_seed_is_what_providers_promise(world: World) -> None:
    """Whoever is not known counts as the worst."""
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    policies: dict[str, set[str]] = {}
    for name, stored in (await catalog_of(world)).upstreams.items():
        policies.setdefault(stored.facts.data_policy, set()).add(name)
    assert policies["zero_retention"] == {"cerebras", *DEMO_PATHS}
    assert policies["unknown"] == {"deepseek", "moonshotai", "cohere"}


async def test_an_installation_with_an_older_demo_provider_gets_its_new_apis(world: World) -> None:
    """Without another import once they are there."""
    old = {"name": "demo", "base_url": "http://127.0.0.1:9/v1"}
    await load(world, document(upstreams=[old]))
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    catalog = await catalog_of(world)
    assert DEMO_PATHS.keys() <= catalog.upstreams.keys()
    assert "embeddings" in catalog.upstreams["demo"].facts.surfaces
    await seed_catalog(world.pool, world.act("core"), upstreams(), with_demo=True)
    assert await catalog_of(world) == catalog


async def test_a_route_gets_its_own_policy_or_the_document_s_or_its_lane_s(world: World) -> None:
    """What a lane does is data; a changed policy is a change like any other."""
    own = {"balance": "sticky", "queue_rank": 3}
    changes = model(
        routes=[
            {"lanes": ["default"], "candidates": [{**ACME, "max_running": 7}], "policy": own},
            {"lanes": ["economy", "priority"], "candidates": [ACME]},
        ]
    )
    lanes = {"economy": {"queue_wait_ms": 5}}
    await load(world, document(changes, policies=lanes))
    catalog = await catalog_of(world)
    default, economy, priority = catalog.models["m-one"].routes
    assert default.policy == Policy(balance="sticky", queue_rank=3)
    assert economy.policy == Policy(queue_wait_ms=5)
    assert priority.policy == DEFAULT_POLICIES["priority"]
    assert default.candidates[0].max_running == 7
    message = snapshot_message(catalog, 1, SEALER).routes[0]
    assert (message.policy.balance, message.policy.queue_rank) == (2, 3)
    assert message.candidates[0].max_running == 7
    lines = await load(world, document(changes))
    assert [line.name for line in lines] == ["m-one economy"]
    assert "queue_wait_ms 30000" in lines[0].after

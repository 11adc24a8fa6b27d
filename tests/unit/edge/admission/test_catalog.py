"""The catalogue on the edge: names, prices in force, routes that can serve."""

from __future__ import annotations

from typing import Any

from edge.admission.catalog import (
    EMPTY,
    ENDPOINT_KINDS,
    Catalog,
    Dialect,
    Kind,
    Status,
    Upstream,
)
from oneapi.admission.v1 import snapshot_pb2
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.world import add_price, snapshot

DEFAULT = Lane.LANE_DEFAULT
NOW = 1_000_000


def test_a_model_is_found_by_its_id_and_its_aliases() -> None:
    """Clients may use either."""
    catalog = Catalog(snapshot())
    assert catalog.named("small") is catalog.named("small-latest") is catalog.models[1]
    assert catalog.named("huge") is None


def test_a_disabled_model_is_not_found() -> None:
    """Switching a model off needs no other change."""
    catalog = Catalog(snapshot())
    assert catalog.named("off") is None


def test_the_latest_price_that_has_begun_is_in_force() -> None:
    """Versions follow each other at their instants, in whatever order they came."""
    message = snapshot()
    add_price(message, 1, DEFAULT, 3 * NOW)
    add_price(message, 1, DEFAULT, NOW)
    catalog = Catalog(message)
    model = catalog.named("small")
    assert model is not None
    numbers = []
    for at in (0, NOW - 1, NOW, 3 * NOW):
        price = catalog.price(model, DEFAULT, at)
        assert price is not None
        numbers.append(price.number)
    count = len(message.prices)
    assert numbers == [1, 1, count, count - 1]


def test_candidates_come_by_priority_without_disabled_upstreams() -> None:
    """An upstream that is switched off is no candidate."""
    catalog = Catalog(snapshot())
    small, dark = catalog.named("small"), catalog.named("dark")
    assert small is not None
    assert dark is not None
    route = catalog.route(small, DEFAULT)
    assert route is not None
    assert [one.upstream.name for one in route.candidates] == ["first", "second"]
    assert route.candidates[0].first_byte_timeout_seconds == 1.5
    assert catalog.route(dark, DEFAULT) is None


def test_only_models_with_price_and_route_are_servable() -> None:
    """What the list of models shows can be asked for."""
    assert [model.public_id for model in Catalog(snapshot()).servable(NOW)] == ["small"]
    assert EMPTY.servable(NOW) == []


def test_an_upstream_never_shows_its_credential() -> None:
    """Not in a log, not in a traceback."""
    catalog = Catalog(snapshot())
    model = catalog.named("small")
    assert model is not None
    assert "upstream-secret" not in repr(catalog.route(model, DEFAULT))


def test_an_upstream_without_surfaces_has_what_its_dialect_always_has() -> None:
    """A document need not repeat what each dialect has anyway."""
    found = {
        dialect: _only_upstream(catalog_pb2.Upstream(number=1, enabled=True, dialect=dialect))
        for dialect in (Dialect.DIALECT_OPENAI, Dialect.DIALECT_ANTHROPIC, Dialect.DIALECT_GOOGLE)
    }
    assert {dialect: set(upstream.surfaces) for dialect, upstream in found.items()} == {
        Dialect.DIALECT_OPENAI: {Endpoint.ENDPOINT_CHAT_COMPLETIONS},
        Dialect.DIALECT_ANTHROPIC: {Endpoint.ENDPOINT_MESSAGES},
        Dialect.DIALECT_GOOGLE: {Endpoint.ENDPOINT_GENERATE_CONTENT},
    }


def test_an_upstream_without_a_data_policy_is_not_known() -> None:
    """Not known is the worst class, never a better one."""
    upstream = _only_upstream(catalog_pb2.Upstream(number=1, enabled=True))
    assert upstream.data_policy == DataPolicy.DATA_POLICY_UNSPECIFIED


def test_a_candidate_narrows_what_its_upstream_has() -> None:
    """Never more than the upstream has; all of it where the candidate says nothing."""
    both = [Endpoint.ENDPOINT_CHAT_COMPLETIONS, Endpoint.ENDPOINT_RESPONSES]
    told = [[], [Endpoint.ENDPOINT_RESPONSES], [Endpoint.ENDPOINT_EMBEDDINGS]]
    message = snapshot_pb2.CatalogSnapshot(upstreams=[_item(number=1, surfaces=both)])
    candidates = [catalog_pb2.RouteCandidate(upstream_number=1, surfaces=one) for one in told]
    message.routes.add(model_number=1, lane=DEFAULT, candidates=candidates)
    message.models.add(number=1, public_id="m", enabled=True)
    catalog = Catalog(message)
    route = catalog.route(catalog.models[1], DEFAULT)
    assert route is not None
    seen = [set(one.surfaces) for one in route.candidates]
    assert seen == [set(both), {Endpoint.ENDPOINT_RESPONSES}, set()]


def test_conversations_are_ready_wherever_a_text_model_can_be_served() -> None:
    """They are translated into one another, and completions into them."""
    catalog = Catalog(snapshot())
    states = {endpoint: catalog.endpoint_state(endpoint) for endpoint in Endpoint.values()}
    assert {one for one, state in states.items() if state == Status.STATUS_READY} == {
        Endpoint.ENDPOINT_CHAT_COMPLETIONS,
        Endpoint.ENDPOINT_RESPONSES,
        Endpoint.ENDPOINT_MESSAGES,
        Endpoint.ENDPOINT_GENERATE_CONTENT,
        Endpoint.ENDPOINT_COMPLETIONS,
    }
    assert set(states.values()) == {Status.STATUS_READY, Status.STATUS_NOT_AVAILABLE}


def test_an_endpoint_is_ready_by_models_of_its_kind_only() -> None:
    """An upstream that has embeddings makes nothing ready without a model for them."""
    message = snapshot()
    for item in message.upstreams:
        item.upstream.surfaces.append(Endpoint.ENDPOINT_EMBEDDINGS)
    embeddings = Endpoint.ENDPOINT_EMBEDDINGS
    assert Catalog(message).endpoint_state(embeddings) == Status.STATUS_NOT_AVAILABLE
    message.models[0].kind = Kind.KIND_EMBEDDING
    assert Catalog(message).endpoint_state(embeddings) == Status.STATUS_READY
    message.models[0].enabled = False
    assert Catalog(message).endpoint_state(embeddings) == Status.STATUS_NOT_AVAILABLE


def test_an_endpoint_that_some_models_lack_is_limited() -> None:
    """Ready is what works with every model of the kind that can be served at all."""
    message, count = snapshot(), Endpoint.ENDPOINT_COUNT_TOKENS
    message.models[4].CopyFrom(message.models[0])
    message.models[4].number, message.models[4].public_id = 5, "other"
    del message.models[4].aliases[:]
    route = next(one for one in message.routes if one.model_number == 5)
    route.candidates[0].upstream_number = 2
    assert Catalog(message).endpoint_state(count) == Status.STATUS_NOT_AVAILABLE
    for number, expected in ((1, Status.STATUS_LIMITED), (2, Status.STATUS_READY)):
        upstream = next(one.upstream for one in message.upstreams if one.upstream.number == number)
        upstream.surfaces.extend([Endpoint.ENDPOINT_CHAT_COMPLETIONS, count])
        assert Catalog(message).endpoint_state(count) == expected


def test_googles_models_for_embeddings_are_asked_beside_its_text() -> None:
    """Its API for them is no surface of ours; nobody else's text makes embeddings."""
    embeddings = Endpoint.ENDPOINT_EMBEDDINGS
    for surface, is_ready in (
        (Endpoint.ENDPOINT_GENERATE_CONTENT, True),
        (Endpoint.ENDPOINT_CHAT_COMPLETIONS, False),
    ):
        message = snapshot()
        message.models[0].kind = Kind.KIND_EMBEDDING
        for item in message.upstreams:
            del item.upstream.surfaces[:]
            item.upstream.surfaces.append(surface)
        ready = Catalog(message).endpoint_state(embeddings) == Status.STATUS_READY
        assert ready == is_ready


def test_what_an_operator_states_of_an_endpoint_goes_before() -> None:
    """Also against what the routes say."""
    message = snapshot()
    limited, off = Status.STATUS_LIMITED, Status.STATUS_NOT_AVAILABLE
    message.endpoints.add(endpoint=Endpoint.ENDPOINT_EMBEDDINGS, status=limited)
    message.endpoints.add(endpoint=Endpoint.ENDPOINT_RESPONSES, status=off)
    message.endpoints.add(endpoint=Endpoint.ENDPOINT_MESSAGES)
    catalog = Catalog(message)
    assert catalog.endpoint_state(Endpoint.ENDPOINT_EMBEDDINGS) == limited
    assert catalog.endpoint_state(Endpoint.ENDPOINT_RESPONSES) == off
    assert catalog.endpoint_state(Endpoint.ENDPOINT_MESSAGES) == Status.STATUS_READY


def test_every_endpoint_takes_models_of_some_kind() -> None:
    """A new endpoint cannot be forgotten here."""
    assert {*ENDPOINT_KINDS, Endpoint.ENDPOINT_UNSPECIFIED} == set(Endpoint.values())
    assert {*ENDPOINT_KINDS.values(), Kind.KIND_UNSPECIFIED} == set(Kind.values())


def _item(**fields: Any) -> snapshot_pb2.SnapshotUpstream:
    return snapshot_pb2.SnapshotUpstream(upstream=catalog_pb2.Upstream(enabled=True, **fields))


def _only_upstream(upstream: catalog_pb2.Upstream) -> Upstream:
    message = snapshot_pb2.CatalogSnapshot(
        upstreams=[snapshot_pb2.SnapshotUpstream(upstream=upstream)]
    )
    message.models.add(number=1, public_id="m", enabled=True)
    candidates = [catalog_pb2.RouteCandidate(upstream_number=upstream.number)]
    message.routes.add(model_number=1, lane=DEFAULT, candidates=candidates)
    catalog = Catalog(message)
    route = catalog.route(catalog.models[1], DEFAULT)
    assert route is not None
    return route.candidates[0].upstream

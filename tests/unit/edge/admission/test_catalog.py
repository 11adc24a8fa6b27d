"""The catalogue on the edge: names, prices in force, routes that can serve."""

from __future__ import annotations

from edge.admission.catalog import EMPTY, Catalog
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

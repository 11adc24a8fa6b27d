"""The list of models: anyone may ask for it, so it must cost next to nothing."""

from __future__ import annotations

import orjson

from edge.api.models import Models
from tests.unit.edge.admission.world import AdmissionWorld, snapshot


async def test_the_list_is_made_once_for_a_catalogue_and_a_second() -> None:
    """The same bytes wait for all who read slowly; a change shows at once, a price in a second."""
    world = AdmissionWorld()
    models = Models(world.link, world.clock)
    first = models._list()
    assert [one["id"] for one in orjson.loads(first)["data"]] == ["small"]
    assert models._list() is first
    world.mark(catalog=snapshot(2))
    second = models._list()
    assert second is not first
    world.clock.pass_time(1.0)
    assert models._list() is not second

"""What bounds searches of the web: stated in a document, stored, shown, and sent to the edges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.catalog.messages import snapshot_message
from core.catalog.seeding import DEMO_SEED, SEED
from edge.admission.catalog import Catalog as EdgeCatalog
from kit.reasons import InvalidArgument
from tests.integration.core.catalog.documents import SEALER, catalog_of, document, load, model
from tests.integration.core.conftest import World


async def test_the_maxima_reach_the_edges(world: World) -> None:
    """As they were stated, also after a change; a change of them is shown."""
    await load(world, document(model(tool_calls_max=3, tool_call_max_tokens=2_000)))
    (line,) = await load(world, document(model(tool_calls_max=5, tool_call_max_tokens=2_000)))
    assert (line.before, line.after) == ("tool_calls_max 3", "tool_calls_max 5")
    edge = EdgeCatalog(snapshot_message(await catalog_of(world), 1, SEALER))
    found = edge.named("m-one")
    assert found is not None
    assert (found.tool_calls_max, found.tool_call_max_tokens) == (5, 2_000)


async def test_what_nobody_states_refuses_web_search(world: World) -> None:
    """A cost without a bound is never taken by omission, nor by forgetting it later."""
    await load(world, document(model(tool_calls_max=3, tool_call_max_tokens=2_000)))
    await load(world, document(model()))
    facts = (await catalog_of(world)).models["m-one"].facts
    assert (facts.tool_calls_max, facts.tool_call_max_tokens) == (0, 0)


@pytest.mark.parametrize(
    "maximum",
    [{"tool_calls_max": -1}, {"tool_calls_max": 101}, {"tool_call_max_tokens": -1}],
)
async def test_a_maximum_out_of_range_is_refused(world: World, maximum: dict[str, Any]) -> None:
    """By its place."""
    with pytest.raises(InvalidArgument) as caught:
        await load(world, document(model(**maximum)))
    assert caught.value.metadata["fields"] == f"models.0.{next(iter(maximum))}"


def test_of_the_seeds_only_the_demo_searches() -> None:
    """No provider publishes the most tokens that one search adds."""
    seeds = {name: json.loads((SEED / name).read_text()) for name in ("catalog.json", DEMO_SEED)}
    searching = {
        name: {one["public_id"] for one in seed["models"] if one.get("tool_calls_max")}
        for name, seed in seeds.items()
    }
    assert searching["catalog.json"] == set()
    assert {"demo", "demo-anthropic"} <= searching[DEMO_SEED]

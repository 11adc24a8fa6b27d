"""The tables of bad input and of bad upstreams, each row sent and judged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tests.chaos.badinput.world import Row, World
from tests.contract import bad_inputs
from tests.contract.bad_bodies import BAD_BODIES
from tests.contract.bad_forms import BAD_FORMS
from tests.contract.bad_inputs import BadInput
from tests.support import corpus

GROUPS: dict[str, tuple[BadInput, ...]] = {
    "framing (smuggling)": bad_inputs.FRAMING,
    "heads": bad_inputs.HEADS,
    "targets": bad_inputs.TARGETS,
    "other protocols": bad_inputs.PROTOCOLS,
    "keys": bad_inputs.KEYS,
    "headers of ours": bad_inputs.OPTIONS,
    "sizes": bad_inputs.SIZES,
    "bodies": BAD_BODIES,
    "forms": BAD_FORMS,
}


def attack(world: World, rounds: int) -> Iterator[Row]:
    """Send every table so many times; nothing may be charged, recorded or sent on."""
    served = world.serve_one()
    total = world.total_nanos()
    world.replay.reset()
    sent = 0
    for name, rows in GROUPS.items():
        found = [
            finding
            for _ in range(rounds)
            for finding in asyncio.run(corpus.run(rows, world.target))
        ]
        world.findings += [f"{name}: {one.name}: {one.told}" for one in found]
        sent += len(rows) * rounds
        yield Row("tables", name, len(rows) * rounds, len(found), "each its status and code")
    calls = world.replay.calls()
    wrong = calls.total + calls.unmatched
    wrong += world.cluster.latest_usage().request_id != served
    wrong += world.total_nanos() != total
    wrong += world.edge_log.count(b"fault")
    told = "calls upstream, records, charges, faults: none"
    yield Row("tables", "what all of them left behind", sent, wrong, told)

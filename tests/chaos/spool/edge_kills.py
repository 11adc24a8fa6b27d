"""SIGKILL of a real edge at each write and sync of its spool while clients and upstream look on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.metering.frames import Kind
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.chaos.spool.asking import Answer
from tests.chaos.spool.disk import World
from tests.chaos.spool.report import Row
from tests.chaos.spool.strace import Strace
from tests.unit.edge.metering.samples import frames_in

CALLS = {"pwrite64": 14, "fdatasync": 7}
"""More than six requests need of each: an intent and an outcome, syncs shared or not."""
PAIRS = 3


async def attack(world: World, row: Row) -> None:
    """Kill at every call; the next life adopts what the last one left."""
    finished: set[bytes] = set()
    intents: set[bytes] = set()
    unfinished: set[bytes] = set()
    killed = 0
    for call, most in CALLS.items():
        for number in range(1, most + 1):
            inject = f"{call}:signal=SIGKILL:when={number}"
            with Strace(world.edge.pid, calls=(call,), inject=inject):
                answers = await _ask_all(world)
            killed += not world.edge.runs
            world.edge.kill()
            finished |= {one.request_id for one in answers if one.whole and one.status == 200}
            began, ended = _frames_left(world.spool_folder)
            intents |= began
            unfinished |= began - ended
            world.cluster.revive()
            world.cluster.until_serving(world.edge)
            row.tried += 1
    world.adopted()
    row.figures["killed"] = killed
    _compare(world, row, finished, intents, unfinished)


def _compare(
    world: World, row: Row, finished: set[bytes], intents: set[bytes], unfinished: set[bytes]
) -> None:
    rows = world.core.rows("SELECT id, outcome FROM usage_record")
    outcomes = {identifier.bytes: outcome for identifier, outcome in rows}
    crashed = {key for key, how in outcomes.items() if how == usage.OUTCOME_EDGE_CRASH}
    row.require(holds=len(outcomes) == len(rows), otherwise="a record twice")
    row.require(holds=intents <= outcomes.keys(), otherwise="an intent without a record")
    row.require(holds=finished <= outcomes.keys() - crashed, otherwise="an answer not recorded")
    row.require(holds=crashed == unfinished, otherwise="a crash that is none, or none that is one")
    row.require(holds=not world.core.alarms(), otherwise="an alarm")
    row.figures.update({"intents": len(intents), "answers": len(finished), "crashes": len(crashed)})


async def _ask_all(world: World) -> list[Answer]:
    ask = world.asker.ask
    asked = [ask("demo-pace-20", stream=True, tokens=5) for _ in range(PAIRS)]
    asked += [ask("demo") for _ in range(PAIRS)]
    given = await asyncio.gather(*asked, return_exceptions=True)
    return [one for one in given if isinstance(one, Answer)]


def _frames_left(spool: Path) -> tuple[set[bytes], set[bytes]]:
    """Return the requests that have an intent, and those that have an outcome, in what is left."""
    found: dict[Kind, set[bytes]] = {kind: set() for kind in Kind}
    for folder in (spool / "edge-1").iterdir():
        if folder.name.isdecimal():
            for frame in frames_in(folder):
                found[frame.kind].add(getattr(frame.body, "request_id", b""))
    return found[Kind.INTENT], found[Kind.OUTCOME]

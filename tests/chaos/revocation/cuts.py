"""An edge that hears nothing of core any more stops by itself, after the stated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.revocation.traffic import Traffic, by_status
from tests.chaos.revocation.world import QUICK, World, body_of
from tests.support.links.client import Wire
from tests.support.raw_client import RawAnswer

DISCONNECTED_SECONDS = 4
SLACK_SECONDS = 0.75
BACK_SECONDS_MAX = 8.0
AWAY = "503 not_in_touch"
FAILS_CLOSED = {AWAY, "503 billing_unavailable"}
"""Leases end a little before the time without core does."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A way of losing core: how it begins and how it ends."""

    name: str
    begin: Callable[[World], None]
    end: Callable[[World], None]


def _wire(here: World, mode: str) -> None:
    wire = here.cluster.links[0]
    assert isinstance(wire, Wire)
    wire.tell(mode=mode)
    if mode == "pass":
        # What was lost on a connection is lost for good.
        wire.tell(cut=True)


def _wired(mode: str) -> Cut:
    return Cut(mode, lambda here: _wire(here, mode), lambda here: _wire(here, "pass"))


HANGS = Cut(
    "core hangs",
    lambda here: here.cluster.cores[0].freeze(),
    lambda here: here.cluster.cores[0].thaw(),
)
CUTS = (_wired("freeze"), _wired("mute"), _wired("refuse"), HANGS)


def _saw(answer: RawAnswer) -> str:
    if answer.status == 503 and "retry-after" not in answer.headers:
        return "503 without retry-after"
    return by_status(answer)


def closes(world: World, cuts: tuple[Cut, ...] = CUTS) -> Iterator[str]:
    """Cut one edge off while a key is revoked at the other core; then bring it back."""
    workspace = world.workspace()
    for cut in cuts:
        stays, goes = world.key(workspace), world.key(workspace)
        yield f"{cut.name:<10} {asyncio.run(_cut_off(world, cut, stays, goes))}"


async def _cut_off(world: World, cut: Cut, stays: tuple[str, str], goes: tuple[str, str]) -> str:
    ports = [world.cluster.edges[0].port]
    body = body_of(QUICK)
    async with (
        Traffic(ports, stays[1], body, _saw) as good,
        Traffic(ports, goes[1], body, _saw) as revoked,
    ):
        await good.until("200")
        await revoked.until("200")
        cut.begin(world)
        began = time.monotonic()
        await asyncio.to_thread(world.revoke, 1, goes[0])
        await good.until(AWAY)
        await revoked.until(AWAY)
        served = max(good.last("200"), revoked.last("200")) - began
        assert served <= DISCONNECTED_SECONDS + SLACK_SECONDS, served
        kinds = set(good.seen[0].at) | set(revoked.seen[0].at)
        assert all(kind == "200" or kind in FAILS_CLOSED for kind in kinds), kinds
        await asyncio.sleep(1)
        ended = time.monotonic()
        cut.end(world)
        await good.until("200")
        back = good.seen[0].since - ended
        await revoked.until("401 api_key_revoked")
        assert revoked.last("200") < ended, "a revoked key came back"
        kinds = set(good.seen[0].at)
        assert not any(kind.startswith("401") for kind in kinds), kinds
        assert back <= BACK_SECONDS_MAX, back
    return (
        f"last served {served:.2f} s after the cut, then 503 with Retry-After; back after "
        f"{back:.2f} s, the revoked key at once 401"
    )

"""The edge's background work towards core: it outlives whatever an answer brings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from edge import core_link
from edge.core_link import CoreCalls, CoreLink
from kit.clock import SystemClock
from kit.log import EventLog
from kit.reasons import EpochFenced, Unavailable


@dataclass(slots=True)
class Renewals:
    """A link whose renewals are counted, and whose leases of credit end in a fault."""

    link: CoreLink
    log: io.StringIO
    fault: Exception
    credit: int = 0
    others: list[str] = field(default_factory=list)
    fenced: list[bool] = field(default_factory=list)

    async def renew_credit(self) -> None:
        """Fail."""
        self.credit += 1
        raise self.fault

    async def renew_spend(self) -> None:
        """Count."""
        self.others.append("spend")

    async def renew_permits(self) -> None:
        """Count."""
        self.others.append("permits")


@pytest.fixture(params=[RuntimeError, Unavailable, EpochFenced])
async def renewals(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Renewals]:
    """Give a link that renews all the time."""
    log = io.StringIO()
    clock = SystemClock()
    fenced: list[bool] = []
    link = CoreLink(
        CoreCalls.__new__(CoreCalls),
        clock,
        EventLog("test", stream=log, clock=clock),
        disconnected_seconds=600,
        on_fenced=lambda: fenced.append(True),
    )
    found = Renewals(link, log, request.param(), fenced=fenced)
    monkeypatch.setattr(core_link, "RENEW_SECONDS", 0.001)
    monkeypatch.setattr(link.credit, "renew", found.renew_credit)
    monkeypatch.setattr(link.limits.spend, "renew", found.renew_spend)
    monkeypatch.setattr(link.limits, "renew_permits", found.renew_permits)
    running = asyncio.create_task(link._renew())
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_renewal_that_fails_stops_neither_the_others_nor_the_next(
    renewals: Renewals,
) -> None:
    """Leases that are not renewed lapse: the loop may end of nothing."""
    async with asyncio.timeout(30):
        while renewals.credit < 3:  # noqa: ASYNC110  it is told by nobody
            await asyncio.sleep(0.005)
    assert renewals.others[:4] == ["spend", "permits"] * 2
    assert ("renewal_fault" in renewals.log.getvalue()) is isinstance(renewals.fault, RuntimeError)
    assert bool(renewals.fenced) is isinstance(renewals.fault, EpochFenced)

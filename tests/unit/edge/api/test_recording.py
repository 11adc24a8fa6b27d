"""How an exchange records its end: once, and also after a fault of ours."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from edge.admission.catalog import Candidate, Upstream
from edge.api.recording import Accepted, Parts
from edge.api.recording import Recording as Record
from edge.metering.records import Outcome
from edge.metering.spool import Spool
from edge.translate.chat.surface import ChatSurface
from edge.upstream.attempts import Attempts
from edge.upstream.routing import Router
from kit.charge import Dimension, quantities
from kit.clock import SystemClock
from kit.log import EventLog
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.unit.edge.admission.world import SHAPE, AdmissionWorld
from tests.unit.edge.metering.samples import PRICE, SMALL, DirectLine, an_intent, frames_in


@dataclass
class Recording:
    """An accepted request of a world, its spool and what is logged."""

    world: AdmissionWorld
    spool: Spool
    record: Record
    folder: Path
    log: io.StringIO

    def outcome(self) -> Outcome:
        """Return the last frame."""
        body = frames_in(self.folder)[-1].body
        assert isinstance(body, Outcome)
        return body

    def held(self) -> int:
        """Return what is set aside for running requests."""
        return self.world.link.credit.held_nanos()


@pytest.fixture
async def recording(tmp_path: Path) -> AsyncIterator[Recording]:
    """Give a request that has answered and must be recorded."""
    world, log = AdmissionWorld(), io.StringIO()
    spool = Spool(tmp_path / "5", 1, 5, reporter=DirectLine(), limits=SMALL)
    admitted = await world.admit(limit=100)
    intent = an_intent(hold_nanos=admitted.hold.nanos)
    clock = SystemClock()
    parts: dict[str, Any] = dict.fromkeys(Parts.__slots__)
    parts |= {"admission": world.admission, "spool": spool, "clock": clock}
    parts["log"] = EventLog("test", stream=log)
    surface = ChatSurface()
    request = surface.read(b'{"messages":[{}]}', {}, "", b"")
    ticket = spool.begin(intent, PRICE)
    accepted = Accepted(surface, request, SHAPE, admitted, [], intent, ticket, clock.monotonic())
    attempts = Attempts(cast("Any", None), Router(clock), clock, accepted.started)
    record = Record(Parts(**parts), accepted, attempts)
    record.ending.outcome = usage.OUTCOME_SUCCEEDED
    record.ending.has_output = True
    record.ending.quantities = quantities(input=1_000, output=10)
    yield Recording(world, spool, record, tmp_path / "5", log)
    await spool.close()


async def test_searches_that_were_seen_are_in_an_estimate(recording: Recording) -> None:
    """As many as the hold was taken for."""
    recording.record.ending.quantities = None
    recording.record.ending.searches = 1
    accepted = recording.record._accepted
    accepted.shape = replace(SHAPE, tool_calls=1)
    assert await recording.record.record()
    assert recording.outcome().quantities[Dimension.TOOL_CALLS] == 1


async def test_an_outcome_is_written_and_the_hold_becomes_the_charge(recording: Recording) -> None:
    """Control: the ordinary end."""
    assert recording.held() > 0
    assert await recording.record.record()
    outcome = recording.outcome()
    assert (outcome.outcome, outcome.charge_nanos) == (usage.OUTCOME_SUCCEEDED, 1_040_000)
    assert recording.held() == 0
    assert recording.log.getvalue() == ""


async def test_an_api_with_units_of_its_own_is_estimated_in_them(recording: Recording) -> None:
    """Such as the characters of speech: not by the size of texts."""
    recording.record.ending.quantities = None
    recording.record.ending.estimated = quantities(input=600, requests=1)
    assert await recording.record.record()
    outcome = recording.outcome()
    assert outcome.quantities == quantities(input=600, requests=1)
    assert outcome.usage_source == usage.USAGE_SOURCE_ESTIMATED


async def test_the_record_names_the_class_of_the_upstream_that_served(recording: Recording) -> None:
    """As the catalogue had it when the request was decided."""
    upstream = Upstream(
        *(7, "up", "http://127.0.0.1:1/v1", 1, True, False, False, b""),
        data_policy=DataPolicy.DATA_POLICY_RETAINS,
    )
    recording.record._attempts.current = Candidate(upstream, "model", 1, 0, 1.0, 1.0)
    recording.record.answered = True
    assert await recording.record.record()
    outcome = recording.outcome()
    assert (outcome.upstream_number, outcome.data_policy) == (7, DataPolicy.DATA_POLICY_RETAINS)


async def test_where_no_upstream_served_no_class_is_named(recording: Recording) -> None:
    """An attempt that never answered and bills nothing has not served."""
    recording.record.ending.outcome = usage.OUTCOME_FAILED
    recording.record.ending.quantities, recording.record.ending.has_output = None, False
    upstream = Upstream(
        *(7, "up", "http://127.0.0.1:1/v1", 1, True, False, False, b""),
        data_policy=DataPolicy.DATA_POLICY_RETAINS,
    )
    recording.record._attempts.current = Candidate(upstream, "model", 1, 0, 1.0, 1.0)
    assert await recording.record.record()
    assert recording.outcome().data_policy == DataPolicy.DATA_POLICY_UNSPECIFIED


@pytest.mark.parametrize(
    ("field", "value"), [("quantities", (1,)), ("http_status", 10**9), ("finish_reason", -1)]
)
async def test_a_fault_of_ours_resolves_the_request_without_a_charge(
    recording: Recording, field: str, value: object
) -> None:
    """Whether the outcome cannot be told or does not fit: nothing stays open, nothing is held."""
    setattr(recording.record.ending, field, value)
    assert not await recording.record.record()
    outcome = recording.outcome()
    assert (outcome.outcome, outcome.error_class) == (
        usage.OUTCOME_FAILED,
        usage.ERROR_CLASS_INTERNAL,
    )
    assert (outcome.charge_nanos, recording.held()) == (0, 0)
    assert recording.spool.stats().open_intents == 0
    assert "outcome_fault" in recording.log.getvalue()


async def test_what_cannot_even_be_written_as_a_fault_is_left_to_an_adopter(
    recording: Recording,
) -> None:
    """The hold is given back all the same."""
    recording.record._accepted.intent.request_id = b"somebody else's."
    assert not await recording.record.record()
    assert recording.held() == 0
    assert "outcome_not_written" in recording.log.getvalue()


async def test_a_request_that_is_cancelled_while_it_is_recorded_keeps_its_charge(
    recording: Recording,
) -> None:
    """Its frame is written before anybody waits for the disk."""
    running = asyncio.create_task(recording.record.record())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert recording.outcome().charge_nanos == 1_040_000
    (account,) = recording.world.link.credit._accounts.values()
    assert account.lease is not None
    assert (account.lease.held, account.lease.used) == (0, 1_040_000)

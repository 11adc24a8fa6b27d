"""Hostile upstreams: the client is told, the record is sane, the charge stays within the hold."""

from __future__ import annotations

import json

import pytest

from oneapi.metering.v1 import usage_record_pb2 as record
from oneapi.metering.v1.usage_service_pb2 import Usage
from tests.contract.bad_upstreams import BAD_UPSTREAMS, BAD_USAGES, BadUpstream
from tests.contract.test_recordings_chat import events
from tests.support.asking import STREAMED, Told, ask
from tests.support.stack import STREAM, TEXT, Stack, public_ids

# All upstreams are asked before the first row is judged.
pytestmark = pytest.mark.timeout(400)
WHOLE_ROWS = [row for row in BAD_UPSTREAMS if row.whole]
STREAM_ROWS = [row for row in BAD_UPSTREAMS if row.stream]


@pytest.fixture(scope="module")
def told(stack: Stack) -> dict[tuple[str, str], Told]:
    """Ask every upstream of the tables once, one after the other; the records come meanwhile."""
    found, replay = {}, stack.replay
    replay.reset()
    with stack.client() as client:
        for stem, more in ((TEXT, {}), (STREAM, STREAMED)):
            for row in BAD_UPSTREAMS:
                if row.stream if more else row.whole:
                    replay.set_faults(stem, **row.faults)
                    found[stem, row.name] = ask(client, public_ids()[stem], **more)
            for raw in BAD_USAGES:
                replay.set_faults(stem, usage_json=raw)
                found[stem, f"usage {raw}"] = ask(
                    client, public_ids()[stem], max_tokens=100, **more
                )
    replay.reset()
    return found


def failed_record(stack: Stack, one: Told) -> Usage:
    """Return the record of a failure."""
    usage = stack.usage(one.request_id)
    assert usage.outcome == record.OUTCOME_FAILED
    assert usage.attempts
    return usage


@pytest.mark.parametrize("row", WHOLE_ROWS, ids=lambda row: row.name)
def test_a_bad_answer_is_an_error_with_a_code(
    stack: Stack, told: dict[tuple[str, str], Told], row: BadUpstream
) -> None:
    """Never a 500, never a part of it that looks whole, never a charge."""
    one = told[TEXT, row.name]
    assert (one.status, one.clean) == (row.status, True), one.text
    error = json.loads(one.text)["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert error["code"] == row.code
    assert failed_record(stack, one).charge.amount_nanos == 0


@pytest.mark.parametrize("row", STREAM_ROWS, ids=lambda row: row.name)
def test_a_bad_stream_is_an_error_with_a_code(
    stack: Stack, told: dict[tuple[str, str], Told], row: BadUpstream
) -> None:
    """By its status if nothing has been sent, else in-band and without a clean end."""
    one = told[STREAM, row.name]
    in_band = row.status == 200
    assert (one.status, one.clean) == (row.status, not in_band), one.text
    error = json.loads(events(one.text)[-1] if in_band else one.text)["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert error["code"] == row.code
    assert "[DONE]" not in one.text
    assert failed_record(stack, one).charge.amount_nanos == 0


@pytest.mark.parametrize("raw", BAD_USAGES, ids=range(len(BAD_USAGES)))
@pytest.mark.parametrize("stem", [TEXT, STREAM])
def test_usage_that_cannot_be_true_is_never_charged(
    stack: Stack, told: dict[tuple[str, str], Told], stem: str, raw: str
) -> None:
    """The answer is served; what it costs is estimated, flagged, and within the hold."""
    one = told[stem, f"usage {raw}"]
    assert (one.status, one.clean) == (200, True)
    assert '"cost"' not in one.text
    usage = stack.usage(one.request_id)
    assert usage.outcome == record.OUTCOME_SUCCEEDED
    assert usage.usage_source == record.USAGE_SOURCE_ESTIMATED
    assert 0 < usage.charge.amount_nanos <= usage.hold.amount_nanos

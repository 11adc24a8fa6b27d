"""How streams end, break and stay alive, as clients and upstreams see it."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import httpx
import pytest

from oneapi.metering.v1 import usage_record_pb2 as record
from oneapi.metering.v1.usage_service_pb2 import Usage
from tests.contract.test_recordings_chat import events
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, TEXT, Stack, public_ids

MODEL = public_ids()[STREAM]
MESSAGES = [{"role": "user", "content": "Name a thing that is blue."}]
CANCELLED_WITHIN_NS = 250_000_000
KEEP_ALIVE = ": keep-alive"


def body(model: str = MODEL, **more: Any) -> dict[str, Any]:
    """Return a request for a stream."""
    return {"model": model, "messages": MESSAGES, "stream": True, **more}


def read(client: httpx.Client, **more: Any) -> tuple[httpx.Response, str, bool]:
    """Read a stream to its end; say whether that was a clean one."""
    text, clean = "", True
    with client.stream("POST", "/chat/completions", json=body(**more)) as answer:
        try:
            for part in answer.iter_text():
                text += part
        except httpx.RemoteProtocolError:
            clean = False
    return answer, text, clean


def record_of(stack: Stack, answer: httpx.Response) -> Usage:
    """Return the record of an answer."""
    return stack.usage(answer.headers["x-request-id"])


BREAKS: list[tuple[dict[str, Any], record.ErrorClass.ValueType]] = [
    ({"cut_at_event": 3}, record.ERROR_CLASS_CUT),
    ({"cut_at_event": 3, "cut_reset": True}, record.ERROR_CLASS_RESET),
    ({"cut_at_byte": 700}, record.ERROR_CLASS_CUT),
    ({"omit_last_event": True}, record.ERROR_CLASS_CUT),
    ({"garbage_at_event": 3}, record.ERROR_CLASS_PROTOCOL),
    ({"broken_chunk_at_event": 3}, record.ERROR_CLASS_PROTOCOL),
]


@pytest.mark.parametrize(("fault", "error_class"), BREAKS, ids=lambda value: str(value)[:40])
def test_a_broken_stream_is_never_ended_cleanly(
    stack: Stack,
    client: httpx.Client,
    replay: ReplayProcess,
    fault: dict[str, Any],
    error_class: record.ErrorClass.ValueType,
) -> None:
    """An error event in the client's protocol, then the connection closes."""
    replay.set_faults(STREAM, **fault)
    answer, text, clean = read(client)
    assert (answer.status_code, clean) == (200, False)
    assert "[DONE]" not in text
    last = json.loads(events(text)[-1])
    assert last["error"].keys() >= {"message", "type", "param", "code"}
    usage = record_of(stack, answer)
    assert usage.outcome == record.OUTCOME_FAILED
    assert usage.error_class in {error_class, record.ERROR_CLASS_CUT}


def test_the_usage_seen_before_a_cut_is_charged(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """The provider has counted, the client has the content."""
    replay.set_faults(STREAM, omit_last_event=True)
    answer, _, _ = read(client)
    usage = record_of(stack, answer)
    assert usage.usage_source == record.USAGE_SOURCE_PROVIDER
    assert usage.charge.amount_nanos == 11 * 400 + 7 * 1_600


def test_a_stall_is_ended_by_the_idle_time_out(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """Keep-alives go out meanwhile, so that nobody on the way gives up before us."""
    replay.set_faults(STREAM, stall_at_event=2)
    answer, text, clean = read(client)
    assert not clean
    assert KEEP_ALIVE in text
    assert json.loads(events(text)[-1])["error"]["code"] == "upstream_timeout"
    assert record_of(stack, answer).error_class == record.ERROR_CLASS_IDLE_TIMEOUT


@pytest.mark.parametrize(
    "fault",
    [
        {"usage_beside_choice": True},
        {"duplicate_last_event": True},
        {"one_byte_chunks": True},
    ],
)
def test_oddities_of_upstreams_change_neither_text_nor_charge(
    stack: Stack, client: httpx.Client, replay: ReplayProcess, fault: dict[str, Any]
) -> None:
    """Usage beside a choice, a second end, compression, single bytes: the same answer."""
    _, expected, _ = read(client)
    replay.set_faults(STREAM, **fault)
    answer, text, clean = read(client)
    assert clean
    assert said(text) == said(expected)
    assert text.count("[DONE]") == 1
    assert record_of(stack, answer).charge.amount_nanos == 11 * 400 + 7 * 1_600


def test_an_encoding_that_we_did_not_ask_for_is_a_failure(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """Bytes that we cannot read are never relayed, and never charged."""
    replay.set_faults(STREAM, gzip=True)
    answer, text, _ = read(client)
    assert (answer.status_code, json.loads(text)["error"]["code"]) == (502, "upstream_failed")
    assert record_of(stack, answer).charge.amount_nanos == 0


def said(text: str) -> str:
    """Return the content of a stream."""
    chunks = [json.loads(one) for one in events(text) if one != "[DONE]"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_a_provider_without_usage_is_estimated_and_flagged(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """Never above the hold, and said so on the record."""
    replay.set_faults(STREAM, omit_usage=True)
    answer, _, clean = read(client)
    usage = record_of(stack, answer)
    assert clean
    assert usage.usage_source == record.USAGE_SOURCE_ESTIMATED
    assert 0 < usage.charge.amount_nanos <= usage.hold.amount_nanos


def leave_after_first_event(client: httpx.Client, **more: Any) -> tuple[httpx.Response, int]:
    """Leave in the middle of a stream; return the moment in monotonic nanoseconds."""
    with client.stream("POST", "/chat/completions", json=body(**more)) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        left_ns = time.monotonic_ns()
    return answer, left_ns


def test_a_client_that_leaves_cancels_the_upstream(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """Within 250 ms, by the upstream's own clock; what was delivered is charged as an estimate."""
    replay.set_faults(STREAM, endless=True, pace_ms=5)
    answer, left_ns = leave_after_first_event(client)
    until(lambda: bool(replay.calls().cancelled))
    (call,) = replay.calls().cancelled
    assert call.ended_ns - left_ns <= CANCELLED_WITHIN_NS
    usage = record_of(stack, answer)
    assert usage.outcome == record.OUTCOME_CANCELLED
    assert usage.usage_source == record.USAGE_SOURCE_ESTIMATED
    assert 0 < usage.charge.amount_nanos <= usage.hold.amount_nanos


def test_a_client_that_leaves_before_the_first_byte_cancels_and_pays_nothing(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """The upstream had not begun to answer and does not bill the refused."""
    replay.set_faults(TEXT, slow_headers_ms=2_500)
    before, known = stack.trial_balance(), stack.latest_usage().request_id
    sent = {"model": public_ids()[TEXT], "messages": MESSAGES}
    with contextlib.suppress(httpx.ReadTimeout):
        client.post("/chat/completions", json=sent, timeout=httpx.Timeout(10, read=1.2))
    until(lambda: bool(replay.calls().cancelled))
    until(lambda: stack.latest_usage().request_id != known)
    latest = stack.latest_usage()
    assert latest.outcome == record.OUTCOME_CANCELLED
    assert latest.charge.amount_nanos == 0
    assert stack.trial_balance()["rev.usage"] == before["rev.usage"]


def test_where_the_provider_bills_anyway_the_stream_is_drained(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """The charge is exact: the provider's usage, read to the end after the client left."""
    replay.set_faults(STREAM, pace_ms=50)
    answer, _ = leave_after_first_event(client, model="drained")
    usage = record_of(stack, answer)
    assert usage.outcome == record.OUTCOME_CANCELLED
    assert usage.usage_source == record.USAGE_SOURCE_PROVIDER
    assert usage.charge.amount_nanos == 11 * 400 + 7 * 1_600
    assert replay.calls().outcomes == {"complete": 1}


def test_silence_before_the_first_token_is_bridged(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """Comments first, then the answer, whole."""
    replay.set_faults(STREAM, slow_headers_ms=900)
    answer, text, clean = read(client)
    assert (answer.status_code, clean) == (200, True)
    assert text.startswith(KEEP_ALIVE)
    assert text.rstrip().endswith("[DONE]")


def test_keep_alives_do_not_end_the_right_to_fall_back(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """The first candidate fails after comments went out; the second one answers."""
    replay.set_faults(TEXT, slow_headers_ms=900, status=500)
    answer, text, clean = read(client, model="fallback")
    assert (answer.status_code, clean) == (200, True)
    assert text.startswith(KEEP_ALIVE)
    assert text.rstrip().endswith("[DONE]")


def test_an_early_failure_keeps_its_status(client: httpx.Client, replay: ReplayProcess) -> None:
    """No 200 is given away before the upstream has answered."""
    replay.set_faults(STREAM, status=500)
    answer, text, _ = read(client)
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(text)["error"]["code"] == "upstream_failed"


def test_a_failure_after_keep_alives_is_told_in_band(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """The status is out: the error comes as an event."""
    replay.set_faults(STREAM, slow_headers_ms=900, status=500)
    answer, text, clean = read(client)
    assert (answer.status_code, clean) == (200, False)
    assert json.loads(events(text)[-1])["error"]["code"] == "upstream_failed"


def test_cost_is_in_the_usage_that_the_client_asked_for(client: httpx.Client) -> None:
    """A decimal string of dollars."""
    _, text, _ = read(client, stream_options={"include_usage": True})
    chunks = [json.loads(one) for one in events(text) if one != "[DONE]"]
    (usage,) = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert usage["cost"] == "0.0000156"

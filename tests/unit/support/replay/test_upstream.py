"""The replay upstream as a gateway meets it: recordings byte by byte, and every fault."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.support.every import every
from tests.support.processes import until
from tests.support.recordings import Recording, load_fixtures
from tests.support.replay.client import ReplayProcess
from tests.support.replay.frames import split_frames
from tests.support.replay.library import endpoint_of

PATH = "/chat/completions"
WHOLE = "openai-chat-text"
STREAM = "openai-chat-text-stream-usage"
FIXTURES = {one.stem: one for one in load_fixtures()}


def ask(client: httpx.Client, stem: str, **more: Any) -> httpx.Response:
    """Ask for one recording by the model's name."""
    return client.post(PATH, json={"model": ReplayProcess.model(stem), **more})


def received_before_break(client: httpx.Client, stem: str) -> bytes:
    """Read a body that must break, and give what came before."""
    received: list[bytes] = []
    with client.stream("POST", PATH, json={"model": ReplayProcess.model(stem)}) as answered:
        parts = answered.iter_raw()
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            received.extend(parts)
    return b"".join(received)


@every(fixture=FIXTURES.values())
def test_each_recording_is_served_as_it_is(client: httpx.Client, fixture: Recording) -> None:
    """Asked for by name or by its own request: the same status, type and bytes."""
    named = ask(client, fixture.stem)
    path = endpoint_of(fixture.path)
    matched = client.post(path, json={**fixture.request, "max_tokens": 1})
    for answered in (named, matched):
        assert answered.status_code == fixture.status
        assert answered.headers["content-type"] == fixture.content_type
        assert answered.content == fixture.body()


def test_an_unknown_request_is_counted_and_refused(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """A test that asks for something else sees it at once."""
    answered = client.post(PATH, json={"model": "m", "messages": []})
    assert answered.status_code == 404
    assert answered.json()["error"]["code"] == "no_recording"
    assert replay.calls().unmatched == 1


def test_calls_are_remembered_with_their_requests(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """What a gateway sent upstream can be asserted upon."""
    client.post(PATH, json={"model": "replay/" + WHOLE, "x": 1}, headers={"x-note": "a"})
    calls = replay.calls()
    assert calls.counts == {WHOLE: 1}
    assert calls.outcomes == {"complete": 1}
    assert (calls.total, calls.running) == (1, 0)
    assert calls.requests[0].body == {"model": "replay/" + WHOLE, "x": 1}
    assert calls.requests[0].headers["x-note"] == "a"
    assert calls.requests[0].path == "/v1/chat/completions"
    assert calls.ended[0].bytes_sent == len(FIXTURES[WHOLE].body())
    assert calls.connections_opened >= calls.connections_open >= 1


@pytest.mark.parametrize("stem", [STREAM, WHOLE])
def test_a_call_that_the_client_leaves_is_noticed(replay: ReplayProcess, stem: str) -> None:
    """With the moment of the notice, on the clock that the test has too."""
    replay.set_faults(stem, stall_at_event=0)
    with (
        httpx.Client(base_url=replay.base_url, trust_env=False) as client,
        client.stream("POST", PATH, json={"model": ReplayProcess.model(stem)}) as answered,
    ):
        assert answered.status_code == 200
        left_ns = time.monotonic_ns()
    until(lambda: replay.calls().running == 0)
    (call,) = replay.calls().cancelled
    assert call.stem == stem
    assert call.ended_ns > left_ns


@pytest.mark.parametrize("reset", [False, True])
def test_a_stream_is_cut_at_an_event(
    client: httpx.Client, replay: ReplayProcess, *, reset: bool
) -> None:
    """By FIN or by RST; with FIN all events before the cut arrive."""
    replay.set_faults(cut_at_event=3, cut_reset=reset, pace_ms=1)
    expected = b"".join(split_frames(FIXTURES[STREAM].body())[:3])
    received = received_before_break(client, STREAM)
    assert expected.startswith(received) if reset else received == expected
    assert replay.calls().outcomes == {"cut": 1}


@pytest.mark.parametrize("stem", [STREAM, WHOLE])
def test_a_body_is_cut_at_a_byte(client: httpx.Client, replay: ReplayProcess, stem: str) -> None:
    """In the middle of whatever stands there."""
    replay.set_faults(stem, cut_at_byte=100)
    assert received_before_break(client, stem) == FIXTURES[stem].body()[:100]


def test_a_cut_after_the_last_event_leaves_out_the_end_of_the_body(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """All events came, but the body's proper end did not."""
    body = FIXTURES[STREAM].body()
    replay.set_faults(cut_at_event=len(split_frames(body)))
    assert received_before_break(client, STREAM) == body


def test_a_stalled_stream_stays_open(client: httpx.Client, replay: ReplayProcess) -> None:
    """Some events, then silence."""
    replay.set_faults(stall_at_event=2)
    received: list[bytes] = []
    asked = {"model": ReplayProcess.model(STREAM)}
    with client.stream("POST", PATH, json=asked, timeout=httpx.Timeout(10, read=1.0)) as answered:
        parts = answered.iter_raw()
        with pytest.raises(httpx.ReadTimeout):
            received.extend(parts)
    assert b"".join(received) == b"".join(split_frames(FIXTURES[STREAM].body())[:2])


def test_an_endless_stream_goes_on(client: httpx.Client, replay: ReplayProcess) -> None:
    """Until the client has enough."""
    replay.set_faults(endless=True)
    size = 0
    with client.stream("POST", PATH, json={"model": ReplayProcess.model(STREAM)}) as answered:
        for part in answered.iter_raw():
            size += len(part)
            if size > 100_000:
                break
    until(lambda: replay.calls().running == 0)
    assert replay.calls().outcomes == {"cancelled": 1}


def test_reset_answers_nothing(client: httpx.Client, replay: ReplayProcess) -> None:
    """The connection is reset as soon as the request is read."""
    replay.set_faults(reset=True)
    with pytest.raises(httpx.ReadError):
        ask(client, WHOLE)


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_status_is_answered_so_many_times(
    client: httpx.Client, replay: ReplayProcess, status: int
) -> None:
    """Then the recording comes: what a retry is for."""
    replay.set_faults(WHOLE, status=status, times=2, retry_after_seconds=1)
    answers = [ask(client, WHOLE) for _ in range(3)]
    assert [one.status_code for one in answers] == [status, status, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].json()["error"]["code"] == f"replayed_{status}"


def test_an_anthropic_path_gets_its_own_error_shape(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """Errors fit the protocol of the path."""
    replay.set_faults(status=529)
    answered = client.post("/messages", json={"model": ReplayProcess.model(WHOLE)})
    assert answered.json()["type"] == "error"


def test_slow_headers_wait(client: httpx.Client, replay: ReplayProcess) -> None:
    """The status line itself is late."""
    replay.set_faults(slow_headers_ms=60_000)
    with pytest.raises(httpx.ReadTimeout):
        client.post(
            PATH, json={"model": ReplayProcess.model(WHOLE)}, timeout=httpx.Timeout(10, read=0.2)
        )


@pytest.mark.parametrize("stem", [STREAM, WHOLE])
@pytest.mark.parametrize("faults", [{"gzip": True}, {"one_byte_chunks": True}, {"pace_ms": 1}])
def test_transport_forms_carry_the_same_body(
    client: httpx.Client, replay: ReplayProcess, stem: str, faults: dict[str, Any]
) -> None:
    """Compression, tiny chunks and pauses change nothing of what is said."""
    replay.set_faults(**faults)
    answered = ask(client, stem)
    assert answered.content == FIXTURES[stem].body()
    assert answered.headers.get("content-encoding") == ("gzip" if "gzip" in faults else None)


def test_garbage_comes_between_events(client: httpx.Client, replay: ReplayProcess) -> None:
    """An event of broken JSON and invalid UTF-8, and a body that is nothing else."""
    replay.set_faults(garbage_at_event=1)
    frames = split_frames(ask(client, STREAM).content)
    assert b"\xff\xfe" in frames[1]
    assert len(frames) == 1 + len(split_frames(FIXTURES[STREAM].body()))
    assert b"\xff\xfe" in ask(client, WHOLE).content


@pytest.mark.parametrize("stem", [STREAM, WHOLE])
def test_broken_framing_is_a_protocol_error(
    client: httpx.Client, replay: ReplayProcess, stem: str
) -> None:
    """HTTP itself is broken, not only what it carries."""
    replay.set_faults(broken_chunk_at_event=1)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(client, stem)


def test_usage_can_be_left_out_or_moved(client: httpx.Client, replay: ReplayProcess) -> None:
    """In streams and in whole answers."""
    replay.set_faults(omit_usage=True)
    assert b"usage" not in ask(client, STREAM).content
    assert "usage" not in ask(client, WHOLE).json()
    replay.set_faults(usage_beside_choice=True)
    assert b'"choices":[]' not in ask(client, STREAM).content


def test_the_last_event_can_be_missing_or_double(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """The body ends properly in both cases."""
    replay.set_faults(omit_last_event=True)
    assert ask(client, STREAM).content.count(b"[DONE]") == 0
    replay.set_faults(duplicate_last_event=True)
    assert ask(client, STREAM).content.count(b"[DONE]") == 2


def test_headers_can_be_replaced_and_added(client: httpx.Client, replay: ReplayProcess) -> None:
    """A wrong content type, and headers that a gateway must not pass on."""
    replay.set_faults(content_type="text/html", headers={"set-cookie": "a=b"})
    answered = ask(client, WHOLE)
    assert answered.headers["content-type"] == "text/html"
    assert answered.headers["set-cookie"] == "a=b"
    assert answered.headers["x-request-id"] == f"replay-{WHOLE}"


def test_faults_of_a_recording_come_before_those_of_any(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """And are taken away by themselves."""
    replay.set_faults(status=500)
    replay.set_faults(WHOLE, status=429)
    assert [ask(client, stem).status_code for stem in (WHOLE, STREAM)] == [429, 500]
    replay.clear_faults(WHOLE)
    assert ask(client, WHOLE).status_code == 500
    replay.reset()
    assert ask(client, WHOLE).status_code == 200


@pytest.mark.parametrize("faults", [{"stall": 1}, {"pace_ms": "5"}, {"gzip": 1}, {"times": True}])
def test_unknown_faults_are_refused(replay: ReplayProcess, faults: dict[str, Any]) -> None:
    """A typing error in a test must not pass as a good answer."""
    with pytest.raises(httpx.HTTPStatusError):
        replay.set_faults(**faults)


def test_stems_are_listed(replay: ReplayProcess) -> None:
    """A test can go through all of them."""
    assert replay.recordings() == sorted(FIXTURES)

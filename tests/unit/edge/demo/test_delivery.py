"""Latency and faults by model name, as a client meets them on the wire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from tests.support.demo import DemoProcess

PATH = "/v1/chat/completions"


def body(model: str, **fields: Any) -> dict[str, Any]:
    """Make a request body."""
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **fields}


def test_slow_holds_the_first_byte_back(client: httpx.Client) -> None:
    """Not even the status line comes before its time."""
    started = time.monotonic()
    with client.stream("POST", PATH, json=body("demo-slow-150", stream=True)) as answered:
        waited_seconds = time.monotonic() - started
        answered.read()
    assert waited_seconds >= 0.15


def test_pace_spreads_the_events(client: httpx.Client) -> None:
    """Ten tokens make thirteen events with twelve pauses between them."""
    started = time.monotonic()
    answered = client.post(PATH, json=body("demo-pace-10+tokens-10", stream=True))
    assert time.monotonic() - started >= 0.12
    assert answered.text.count("data: ") == 13


def test_tokens_sets_the_length(client: httpx.Client) -> None:
    """A benchmark chooses how long the answers are."""
    answered = client.post(PATH, json=body("demo-tokens-600", stream=True)).text
    assert answered.count('"content":" ') == 599


def test_cached_tokens_are_reported(client: httpx.Client) -> None:
    """The price of cached input can be tried out."""
    usage = client.post(PATH, json=body("demo-cached-2")).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (429, "requests"),
        (500, "server_error"),
        (529, "server_error"),
    ],
)
def test_errors_come_as_ordered(
    client: httpx.Client, status: int, kind: str, *, streamed: bool
) -> None:
    """An error before the first event is a plain HTTP error, also for a stream."""
    answered = client.post(PATH, json=body(f"demo-error-{status}", stream=streamed))
    assert answered.status_code == status
    assert answered.json()["error"]["type"] == kind
    assert answered.headers.get("retry-after") == ("1" if status == 429 else None)


def test_a_cut_stream_breaks_after_so_many_events(client: httpx.Client) -> None:
    """The events before the cut arrive, and the end of the body does not."""
    received: list[bytes] = []
    with client.stream("POST", PATH, json=body("demo-cut-3", stream=True)) as answered:
        parts = answered.iter_raw()
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(parts)
    assert b"".join(received).count(b"data: ") == 3


def test_a_cut_body_breaks_in_the_middle(client: httpx.Client) -> None:
    """Less comes than Content-Length promised."""
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(PATH, json=body("demo-cut-3"))


def test_an_empty_answer_costs_no_output(client: httpx.Client) -> None:
    """A finish without output, for the rule that such an answer is free."""
    answered = client.post(PATH, json=body("demo-empty")).json()
    assert answered["choices"][0]["message"]["content"] == ""
    assert answered["choices"][0]["finish_reason"] == "stop"
    assert answered["usage"]["completion_tokens"] == 0


def test_stall_never_sends_a_byte(client: httpx.Client) -> None:
    """The client's own patience decides."""
    with pytest.raises(httpx.ReadTimeout):
        client.post(PATH, json=body("demo-stall"), timeout=httpx.Timeout(10, read=0.3))


async def test_stalled_requests_do_not_hold_up_others(demo: DemoProcess) -> None:
    """Waiting costs nothing: others are answered beside fifty that wait."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=demo.origin, limits=limits, trust_env=False) as client:
        stalled = [
            asyncio.create_task(client.post(PATH, json=body("demo-stall"))) for _ in "x" * 50
        ]
        quick = await client.post(PATH, json=body("demo"))
        assert quick.status_code == 200
        assert not any(task.done() for task in stalled)
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)

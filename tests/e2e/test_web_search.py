"""Searches of the web that a provider makes, through the running service by the unmodified SDKs.

The provider is the demo one, but for models called `searching-N`, whose answers say that N searches
took place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import anthropic
import httpx
import openai
import pytest

from edge.demo.server import Reply, Request
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.contract.clients.upstream import DemoUpstream
from tests.support.stack import Stack

CALLS, FOUND = 3, 2_000
CENT: Final = 10_000_000
"""The price of a search, in nano-dollars."""
TIERS: Final = [{"input": 10**8, "output": 4 * 10**8, "tool_calls": CENT * 10**6}]
USAGE: Final = {"input_tokens": 2_000, "output_tokens": 50, "total_tokens": 2_050}
TOKENS_NANOS: Final = 2_000 * 100 + 50 * 400
HELLO: Final = "How high is the tide?"
AS_CODEX_DOES: Final = [
    {"type": "function", "name": "tide", "parameters": {"type": "object"}, "strict": False},
    {"type": "web_search", "external_web_access": False},
]
_JSON: Final = ((b"content-type", b"application/json"),)
_EVENTS: Final = ((b"content-type", b"text/event-stream"),)


class SearchingUpstream(DemoUpstream):
    """The demo provider, some of whose models search the web."""

    def _handle(self, request: Request, reply: Reply) -> Any:
        work = None
        body = json.loads(request.body)
        name, _, count = str(body.get("model")).partition("-")
        if name == "searching":
            self.last = body
            _answer(request.path, int(count), reply, stream=bool(body.get("stream")))
        else:
            work = super()._handle(request, reply)
        return work


def _answer(path: str, searches: int, reply: Reply, *, stream: bool) -> None:
    answer = {"/responses": _response, "/messages": _message}.get(path.removeprefix("/v1"), _chat)
    value = answer(searches)
    if not stream:
        reply.send(200, json.dumps(value).encode(), _JSON)
        return
    reply.start(200, _EVENTS)
    event = {"type": "response.completed", "sequence_number": 0, "response": value}
    reply.write_chunk(b"event: response.completed\ndata: " + json.dumps(event).encode() + b"\n\n")
    reply.end()


def _response(searches: int) -> dict[str, Any]:
    done = {"type": "web_search_call", "status": "completed"}
    found = [{**done, "id": f"ws_{one}", "action": {"type": "search"}} for one in range(searches)]
    opened = {**done, "id": "ws_page", "action": {"type": "open_page", "url": "https://e.example"}}
    text = {"type": "output_text", "text": "High.", "annotations": []}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [*found, opened, {**said, "content": [text]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
    }


def _message(searches: int) -> dict[str, Any]:
    usage = {**USAGE, "server_tool_use": {"web_search_requests": searches}}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "High."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _chat(_searches: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "High."}
    usage = {"prompt_tokens": 2_000, "completion_tokens": 50, "total_tokens": 2_050}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**head, "choices": [choice], "usage": usage}


def _document(origin: str) -> dict[str, Any]:
    upstreams = {"served_responses": "responses", "served_messages": "messages"}
    upstreams |= {"served_chat": "chat_completions"}
    return {
        "format": 1,
        "upstreams": [
            {"name": name, "base_url": f"{origin}/v1", "surfaces": [surface]}
            for name, surface in upstreams.items()
        ],
        "models": [
            {
                "public_id": f"{upstream}-searching-{count}",
                "display_name": "Searching",
                "maker": "tests",
                "context_tokens": 100_000,
                "max_output_tokens": 1_000,
                "tool_calls_max": CALLS,
                "tool_call_max_tokens": FOUND,
                "routes": [
                    {"candidates": [{"upstream": upstream, "upstream_model": f"searching-{count}"}]}
                ],
                "prices": [{"tiers": TIERS}],
            }
            for upstream in upstreams
            for count in (2, 9)
        ],
    }


@pytest.fixture(scope="module")
def upstream(stack: Stack) -> Iterator[SearchingUpstream]:
    """Put the searching provider behind the running service."""
    with SearchingUpstream() as running:
        stack.import_catalogue(_document(running.origin))
        yield running


@pytest.fixture(scope="module")
def sdk(stack: Stack, upstream: SearchingUpstream) -> Iterator[openai.OpenAI]:
    """Give openai-python as anybody uses it: only base URL and key are ours."""
    assert upstream.origin
    with openai.OpenAI(
        api_key=stack.api_key,
        base_url=stack.base_url,
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    ) as client:
        yield client


def recorded(stack: Stack, headers: Any) -> tuple[int, int, int]:
    """Return searches, charge and the source of the counts of a request's record."""
    found = stack.usage(headers["x-request-id"])
    return found.quantities.tool_calls, found.charge.amount_nanos, found.usage_source


@pytest.mark.parametrize(("wanted", "sent"), [(None, 3), (2, 2), (50, 3)])
def test_searches_of_a_response_are_charged_each(
    stack: Stack, sdk: openai.OpenAI, upstream: SearchingUpstream, wanted: int | None, sent: int
) -> None:
    """By their price, beside the tokens; the provider was told how many it may make."""
    raw = sdk.responses.with_raw_response.create(
        model="served_responses-searching-2",
        input=HELLO,
        tools=[{"type": "web_search"}],
        max_tool_calls=wanted,
    )
    assert raw.parse().output_text == "High."
    assert upstream.last["max_tool_calls"] == sent
    nanos = TOKENS_NANOS + 2 * CENT
    assert recorded(stack, raw.headers) == (2, nanos, record.USAGE_SOURCE_PROVIDER)
    assert json.loads(raw.text)["usage"]["cost"] == "0.02022"


def test_searches_of_a_stream_are_charged_each(stack: Stack, sdk: openai.OpenAI) -> None:
    """As those of a whole answer."""
    raw = sdk.responses.with_raw_response.create(
        model="served_responses-searching-2",
        input=HELLO,
        tools=[{"type": "web_search"}],
        stream=True,
    )
    assert [event.type for event in raw.parse()] == ["response.completed"]
    nanos = TOKENS_NANOS + 2 * CENT
    assert recorded(stack, raw.headers) == (2, nanos, record.USAGE_SOURCE_PROVIDER)


def test_searches_of_a_message_are_charged_each(
    stack: Stack, sdk: openai.OpenAI, upstream: SearchingUpstream
) -> None:
    """As Anthropic counts them; the tool went there with its limit."""
    del sdk
    with anthropic.Anthropic(
        auth_token=stack.api_key, base_url=stack.base_url.removesuffix("/v1"), max_retries=0
    ) as client:
        raw = client.messages.with_raw_response.create(
            model="served_messages-searching-2",
            max_tokens=100,
            messages=[{"role": "user", "content": HELLO}],
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )
    assert upstream.last["tools"][0]["max_uses"] == CALLS
    nanos = TOKENS_NANOS + 2 * CENT
    assert recorded(stack, raw.headers) == (2, nanos, record.USAGE_SOURCE_PROVIDER)


def test_a_chat_that_searches_is_charged_one_search(stack: Stack, sdk: openai.OpenAI) -> None:
    """No chat completion says how many there were."""
    raw = sdk.chat.completions.with_raw_response.create(
        model="served_chat-searching-2",
        messages=[{"role": "user", "content": HELLO}],
        web_search_options={},
    )
    nanos = TOKENS_NANOS + CENT
    assert recorded(stack, raw.headers) == (1, nanos, record.USAGE_SOURCE_PROVIDER)


def test_more_searches_than_were_held_for_are_not_believed(
    stack: Stack, sdk: openai.OpenAI
) -> None:
    """The provider was told the limit: what went beyond it is its fault, not the customer's."""
    raw = sdk.responses.with_raw_response.create(
        model="served_responses-searching-9", input=HELLO, tools=[{"type": "web_search"}]
    )
    searches, nanos, source = recorded(stack, raw.headers)
    assert (searches, source) == (CALLS, record.USAGE_SOURCE_ESTIMATED)
    assert CALLS * CENT <= nanos < (CALLS + 1) * CENT


@pytest.mark.parametrize(("max_cost", "status"), [("0.029", 400), ("0.05", 200)])
def test_the_searches_are_set_aside_before_the_provider_is_asked(
    stack: Stack, sdk: openai.OpenAI, max_cost: str, status: int
) -> None:
    """Three cents for three searches, and what they may add."""
    del sdk
    with stack.client() as client:
        answer = client.post(
            "/responses",
            json={
                "model": "served_responses-searching-2",
                "input": HELLO,
                "tools": [{"type": "web_search"}],
            },
            headers={"x-max-cost": max_cost},
        )
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"]["code"] == "max_cost_too_low"


def test_codex_with_its_own_search_works_on_the_demo_model(stack: Stack) -> None:
    """It offers web search unless it is told not to; nothing needs to be told."""
    body = {"model": "demo", "input": HELLO, "tools": AS_CODEX_DOES, "tool_choice": "auto"}
    with stack.client() as client:
        answer = client.post("/responses", json=body)
        crossed = client.post("/responses", json={**body, "model": "demo-anthropic"})
    assert answer.status_code == 200, answer.text
    assert recorded(stack, answer.headers)[0] == 0
    assert answer.json()["output"][-1]["name"] == "tide"
    assert (crossed.status_code, crossed.json()["error"]["param"]) == (400, "tools[1].type")

"""Anthropic's messages shape of the demo, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.anthropic_types import check_events, check_message

PATH = "/v1/messages"
USER = [{"role": "user", "content": "What is the secret word zanzibar?"}]
TOOL = {
    "name": "look_up",
    "input_schema": {
        "type": "object",
        "properties": {"key": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["key", "limit"],
    },
}


def ask(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """Ask without streaming and give the answer."""
    body = {"model": "demo", "max_tokens": 1024, "messages": USER, **fields}
    answered = client.post(PATH, json=body)
    assert answered.status_code == 200, answered.text
    check_message(answered.content)
    found: dict[str, Any] = answered.json()
    return found


def stream(client: httpx.Client, **fields: Any) -> list[Any]:
    """Ask with streaming and give the events."""
    body = {"model": "demo", "max_tokens": 1024, "messages": USER, "stream": True, **fields}
    answered = client.post(PATH, json=body)
    assert answered.headers["content-type"].startswith("text/event-stream")
    return check_events(answered.content)


def refusal(client: httpx.Client, **fields: Any) -> tuple[int, str, str]:
    """Ask for what is refused and give status, type and message."""
    body = {"model": "demo", "max_tokens": 1024, "messages": USER, **fields}
    answered = client.post(PATH, json={k: v for k, v in body.items() if v is not None})
    assert answered.json()["type"] == "error"
    error = answered.json()["error"]
    return answered.status_code, error["type"], error["message"]


def joined(events: list[Any], kind: str) -> str:
    """Join the pieces of one kind of delta."""
    deltas = [one.delta for one in events if one.type == "content_block_delta"]
    field = {"text_delta": "text", "thinking_delta": "thinking"}[kind]
    return "".join(getattr(one, field) for one in deltas if one.type == kind)


def test_text_is_the_same_whole_and_streamed(client: httpx.Client) -> None:
    """With the same usage, and nothing of the prompt in it."""
    whole, events = ask(client), stream(client)
    text = whole["content"][0]["text"]
    assert joined(events, "text_delta") == text
    assert "zanzibar" not in text
    assert whole["stop_reason"] == "end_turn"
    assert events[-2].usage.output_tokens == whole["usage"]["output_tokens"]
    assert [one.type for one in (events[0], events[-1])] == ["message_start", "message_stop"]
    assert events[0].message.usage.input_tokens == whole["usage"]["input_tokens"]


def test_thinking_is_shown_or_only_signed(client: httpx.Client) -> None:
    """By budget, or by effort."""
    budget = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    shown = ask(client, **budget)
    assert [one["type"] for one in shown["content"]] == ["thinking", "text"]
    assert shown["usage"]["output_tokens_details"]["thinking_tokens"] == 16
    events = stream(client, **budget)
    assert joined(events, "thinking_delta") == shown["content"][0]["thinking"] != ""
    adaptive = {"thinking": {"type": "adaptive", "display": "omitted"}}
    hidden = ask(client, **adaptive, output_config={"effort": "low"})
    assert hidden["content"][0]["thinking"] == ""
    assert hidden["content"][0]["signature"]
    assert hidden["usage"]["output_tokens_details"]["thinking_tokens"] == 8
    assert ask(client, thinking={"type": "disabled"})["content"][0]["type"] == "text"


def test_tools_are_called_with_arguments_that_fit_their_schema(client: httpx.Client) -> None:
    """One, or as many as are wished."""
    one = ask(client, tools=[TOOL, {"name": "other", "input_schema": {"type": "object"}}])
    assert one["stop_reason"] == "tool_use"
    assert [block["name"] for block in one["content"]] == ["look_up"]
    assert set(one["content"][0]["input"]) == {"key", "limit"}
    wished = {"type": "any", "disable_parallel_tool_use": False}
    two = ask(client, tools=[TOOL, {"name": "other"}], tool_choice=wished)
    assert [block["name"] for block in two["content"]] == ["look_up", "other"]
    events = stream(client, tools=[TOOL, {"name": "other"}], tool_choice=wished)
    calls = {event.index: "" for event in events if event.type == "content_block_start"}
    for event in events:
        if event.type == "content_block_delta":
            calls[event.index] += event.delta.partial_json
    given = [json.loads(call) for call in calls.values()]
    assert given == [block["input"] for block in two["content"]]


def test_after_a_result_comes_text(client: httpx.Client) -> None:
    """The round of tools ends."""
    call = {"type": "tool_use", "id": "t", "name": "look_up", "input": {"key": "a", "limit": 1}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "1"}]}
    messages = [
        *USER,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    assert ask(client, tools=[TOOL], messages=messages)["stop_reason"] == "end_turn"


def test_a_schema_and_a_stop_sequence_are_kept(client: httpx.Client) -> None:
    """JSON after the schema; the sequence that was met is told."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    text = ask(client, output_config=config)["content"][0]["text"]
    assert isinstance(json.loads(text)["a"], int)
    word = ask(client)["content"][0]["text"].split()[3]
    stopped = ask(client, stop_sequences=["never said", word])
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", word)
    assert word not in stopped["content"][0]["text"]


def test_counts_grow_with_images_and_leave_the_cache_out(client: httpx.Client) -> None:
    """The same number that counting beforehand gives."""
    source = {"type": "base64", "media_type": "image/png", "data": "aa=="}
    content = [{"type": "text", "text": "What?"}, {"type": "image", "source": source}]
    messages = [{"role": "user", "content": content}]
    counted = client.post(f"{PATH}/count_tokens", json={"model": "demo", "messages": messages})
    usage = ask(client, messages=messages)["usage"]
    assert counted.json() == {"input_tokens": usage["input_tokens"]}
    assert usage["input_tokens"] > 85
    cached = ask(client, messages=messages, model="demo-cached-16")["usage"]
    assert cached["cache_read_input_tokens"] == 16
    assert cached["input_tokens"] == usage["input_tokens"] - 16


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": None}, (400, "invalid_request_error")),
        ({"messages": []}, (400, "invalid_request_error")),
        ({"messages": [{"role": "tool", "content": "a"}]}, (400, "invalid_request_error")),
        ({"messages": [{"role": "user", "content": [7]}]}, (400, "invalid_request_error")),
        ({"tools": [7]}, (400, "invalid_request_error")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            (400, "invalid_request_error"),
        ),
        ({"output_config": {"effort": "great"}}, (400, "invalid_request_error")),
        ({"model": "claude"}, (404, "not_found_error")),
        ({"model": "demo-error-401"}, (401, "authentication_error")),
        ({"model": "demo-error-429"}, (429, "rate_limit_error")),
        ({"model": "demo-error-500"}, (500, "api_error")),
        ({"model": "demo-error-529"}, (529, "overloaded_error")),
    ],
)
def test_errors_have_anthropics_shape(
    client: httpx.Client, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    """With the type of their status, and nothing of the prompt."""
    status, kind, message = refusal(client, **fields)
    assert (status, kind) == expected
    assert "zanzibar" not in message


def test_a_cut_stream_breaks_after_so_many_events(client: httpx.Client) -> None:
    """The connection, not the answer, ends."""
    body = {"model": "demo-cut-4", "max_tokens": 64, "messages": USER, "stream": True}
    received = b""
    with client.stream("POST", PATH, json=body) as answered:
        parts = answered.iter_raw()
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):  # noqa: PT012
            for part in parts:
                received += part
    assert received.count(b"event: ") == 4
    assert b"message_stop" not in received


def test_an_empty_answer_has_no_blocks(client: httpx.Client) -> None:
    """And costs no output."""
    empty = ask(client, model="demo-empty")
    assert (empty["content"], empty["usage"]["output_tokens"]) == ([], 0)


def test_web_search_is_taken_and_never_done(client: httpx.Client) -> None:
    """There is no web here; the client's own tools are called as ever."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert [block["type"] for block in ask(client, tools=[search])["content"]] == ["text"]
    called = [block for block in ask(client, tools=[search, TOOL])["content"] if "input" in block]
    assert [block["name"] for block in called] == ["look_up"]

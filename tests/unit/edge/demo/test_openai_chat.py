"""The OpenAI chat completions shape, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

PATH = "/v1/chat/completions"
USER = [{"role": "user", "content": "What is the secret word zanzibar?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["key", "limit"],
            "additionalProperties": False,
        },
    },
}
OTHER_TOOL = {"type": "function", "function": {"name": "no_arguments"}}


def ask(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """Ask without streaming and give the answer."""
    answered = client.post(PATH, json={"model": "demo", "messages": USER, **fields})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def stream(client: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    """Ask with streaming and give the chunks; the stream ends in `[DONE]`."""
    body = {"model": "demo", "messages": USER, "stream": True, **fields}
    answered = client.post(PATH, json=body)
    assert answered.headers["content-type"].startswith("text/event-stream")
    *events, done, nothing = answered.text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def joined(chunks: list[dict[str, Any]], field: str, index: int = 0) -> str:
    """Join one field of the deltas of one choice."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(c["delta"].get(field) or "" for c in choices if c["index"] == index)


def refusal(client: httpx.Client, **fields: Any) -> tuple[int, str, str | None]:
    """Ask for what is refused and give status, code and field at fault."""
    answered = client.post(PATH, json={"model": "demo", "messages": USER, **fields})
    error = answered.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return answered.status_code, error["code"], error["param"]


def test_text_has_the_shape_that_openai_documents(client: httpx.Client) -> None:
    """Every field that a strict client reads is there."""
    body = ask(client)
    choice = body["choices"][0]
    assert body["object"] == "chat.completion"
    assert body["model"] == "demo"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0, "audio_tokens": 0}
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0


def test_equal_requests_get_equal_bytes(client: httpx.Client) -> None:
    """The demo is deterministic down to ids and times."""
    bodies = {client.post(PATH, json={"model": "demo", "messages": USER}).content for _ in "ab"}
    assert len(bodies) == 1


def test_the_prompt_is_never_echoed(client: httpx.Client) -> None:
    """An answer can be shown anywhere without showing what was asked."""
    texts = [
        client.post(PATH, json={"model": "demo", "messages": USER, **more}).text.lower()
        for more in ({}, {"stream": True}, {"tools": [TOOL]}, {"reasoning_effort": "high"})
    ]
    assert not any("zanzibar" in text or "secret" in text for text in texts)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning_effort": "low"},
        {"tools": [TOOL]},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"max_tokens": 3},
    ],
)
def test_stream_and_whole_answer_agree(client: httpx.Client, fields: dict[str, Any]) -> None:
    """The same request costs and says the same, streamed or not."""
    whole = ask(client, **fields)
    chunks = stream(client, stream_options={"include_usage": True}, **fields)
    assert chunks[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        index, message = choice["index"], choice["message"]
        assert joined(chunks, "content", index) == (message["content"] or "")
        assert joined(chunks, "reasoning_content", index) == message.get("reasoning_content", "")


def test_without_include_usage_no_chunk_speaks_of_usage(client: httpx.Client) -> None:
    """OpenAI leaves the key out altogether."""
    chunks = stream(client)
    assert all("usage" not in chunk for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_include_usage_adds_null_and_a_last_chunk(client: httpx.Client) -> None:
    """Usage is null on every chunk but the last, which has no choices."""
    *chunks, last = stream(client, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0


def test_one_token_comes_in_one_chunk(client: httpx.Client) -> None:
    """Counting delivered deltas gives the completion tokens of text."""
    chunks = stream(client, stream_options={"include_usage": True})
    deltas = [
        c["choices"][0]["delta"] for c in chunks[:-1] if c["choices"][0]["delta"].get("content")
    ]
    assert len(deltas) == chunks[-1]["usage"]["completion_tokens"]


def test_a_tool_is_called_after_a_user_message(client: httpx.Client) -> None:
    """The arguments are valid for the tool's schema."""
    choice = ask(client, tools=[TOOL, OTHER_TOOL])["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"]["name"] == "look_up"
    assert isinstance(arguments["key"], str)
    assert isinstance(arguments["limit"], int)


def test_an_instruction_behind_the_user_changes_nothing(client: httpx.Client) -> None:
    """Coding agents send reminders in the system's name after what the user said."""
    user, reminder = (
        {"role": "user", "content": "Hello."},
        {"role": "system", "content": "Be kind."},
    )
    asked = ask(client, messages=[user, reminder], tools=[TOOL])["choices"][0]
    assert asked["finish_reason"] == "tool_calls"
    only = ask(client, messages=[reminder], tools=[TOOL])["choices"][0]
    assert only["finish_reason"] == "stop"


def test_text_follows_a_tool_message(client: httpx.Client) -> None:
    """So that an agent's loop comes to an end."""
    call = ask(client, tools=[TOOL])["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "42"}
    choice = ask(client, tools=[TOOL], messages=[*USER, call, result])["choices"][0]
    assert choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


def test_parallel_calls_are_told_apart_by_index(client: httpx.Client) -> None:
    """Streamed arguments of several calls can be put together again."""
    chunks = stream(client, tools=[TOOL, OTHER_TOOL], parallel_tool_calls=True)
    arguments = {0: "", 1: ""}
    names: dict[int, str] = {}
    for chunk in chunks:
        for part in chunk["choices"][0]["delta"].get("tool_calls", []):
            arguments[part["index"]] += part["function"]["arguments"]
            names[part["index"]] = part["function"].get("name") or names[part["index"]]
    assert names == {0: "look_up", 1: "no_arguments"}
    assert json.loads(arguments[0]).keys() == {"key", "limit"}
    assert json.loads(arguments[1]) == {}


def test_tool_choice_is_obeyed(client: httpx.Client) -> None:
    """None means text, a name means that tool."""
    chosen = {"type": "function", "function": {"name": "no_arguments"}}
    none = ask(client, tools=[TOOL], tool_choice="none")["choices"][0]["message"]
    named = ask(client, tools=[TOOL, OTHER_TOOL], tool_choice=chosen)["choices"][0]["message"]
    assert none["content"]
    assert [call["function"]["name"] for call in named["tool_calls"]] == ["no_arguments"]


def test_json_schema_is_answered_by_an_instance(client: httpx.Client) -> None:
    """Structured output parses and fits."""
    schema = TOOL["function"]["parameters"]  # type: ignore[index]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    made = json.loads(ask(client, response_format=wanted)["choices"][0]["message"]["content"])
    assert made.keys() == {"key", "limit"}


def test_reasoning_is_shown_and_counted(client: httpx.Client) -> None:
    """More effort, more tokens, all of them inside the completion."""
    low = ask(client, reasoning_effort="low")
    high = ask(client, reasoning_effort="high")
    details = [
        body["usage"]["completion_tokens_details"]["reasoning_tokens"] for body in (low, high)
    ]
    assert details == [8, 32]
    assert high["usage"]["completion_tokens"] - low["usage"]["completion_tokens"] == 24
    assert len(high["choices"][0]["message"]["reasoning_content"].split()) == 32


def test_an_image_costs_85_tokens(client: httpx.Client) -> None:
    """Media are counted by the piece, whatever their bytes."""
    text = {"type": "text", "text": "Look."}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    prompts = [
        ask(client, messages=[{"role": "user", "content": parts}])["usage"]["prompt_tokens"]
        for parts in ([text], [text, image], [text, image, image])
    ]
    assert [prompts[1] - prompts[0], prompts[2] - prompts[1]] == [85, 85]


def test_prompt_tokens_never_exceed_the_bytes_of_the_body(client: httpx.Client) -> None:
    """The bound on which a hold rests, for text, tools and earlier calls."""
    call = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [*USER, {"role": "assistant", "tool_calls": [call]}, *USER * 50]
    body = {"model": "demo", "messages": messages, "tools": [TOOL]}
    raw = json.dumps(body, separators=(",", ":")).encode()
    used = client.post(PATH, content=raw).json()["usage"]["prompt_tokens"]
    assert 0 < used <= len(raw)


def test_choices_differ_and_are_all_counted(client: httpx.Client) -> None:
    """Three answers cost what the three say."""
    body = ask(client, n=3)
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert len(set(texts)) == 3
    assert body["usage"]["completion_tokens"] == sum(len(text.split()) for text in texts)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_token_limits_are_respected(client: httpx.Client, field: str) -> None:
    """In both spellings."""
    body = ask(client, **{field: 4})
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4


def test_stop_ends_the_text(client: httpx.Client) -> None:
    """A word of the full answer, used as stop, is not shown any more."""
    words = ask(client)["choices"][0]["message"]["content"].split()
    text = ask(client, stop=words[2])["choices"][0]["message"]["content"]
    assert text.split() == words[:2]


def test_the_served_tier_is_told(client: httpx.Client) -> None:
    """As OpenAI does for flex and priority."""
    assert ask(client, service_tier="flex")["service_tier"] == "flex"
    assert ask(client, service_tier="auto")["service_tier"] == "default"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "gpt-4.1"}, (404, "model_not_found", "model")),
        ({"model": None}, (400, "missing_required_parameter", "model")),
        ({"messages": None}, (400, "missing_required_parameter", "messages")),
        ({"messages": []}, (400, "empty_array", "messages")),
        ({"messages": [{"role": "wizard"}]}, (400, "invalid_value", "messages[0].role")),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            (400, "invalid_value", "messages[0].content"),
        ),
        (
            {"messages": [{"role": "user", "content": 3}]},
            (400, "invalid_type", "messages[0].content"),
        ),
        ({"n": 0}, (400, "integer_below_min_value", "n")),
        ({"n": 100}, (400, "integer_above_max_value", "n")),
        ({"max_tokens": "9"}, (400, "invalid_type", "max_tokens")),
        ({"max_tokens": 0}, (400, "integer_below_min_value", "max_tokens")),
        ({"stop": ["a"] * 5}, (400, "array_above_max_length", "stop")),
        ({"reasoning_effort": "huge"}, (400, "invalid_value", "reasoning_effort")),
        ({"tools": [{"type": "function"}]}, (400, "invalid_value", "tools[0]")),
        ({"tools": [TOOL], "tool_choice": "maybe"}, (400, "invalid_value", "tool_choice")),
        ({"response_format": {"type": "xml"}}, (400, "invalid_value", "response_format")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}},
            (400, "invalid_json_schema", None),
        ),
    ],
)
def test_unusable_fields_are_named(
    client: httpx.Client, fields: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    """A refusal has OpenAI's envelope and says which field is at fault."""
    assert refusal(client, **fields) == expected


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"demo"', b"\xff"])
def test_what_is_not_a_json_object_is_refused(client: httpx.Client, raw: bytes) -> None:
    """Broken bodies get an answer, not a broken connection."""
    answered = client.post(PATH, content=raw)
    assert answered.status_code == 400
    assert answered.json()["error"]["code"] == "invalid_json"


def test_models_are_listed_and_each_can_be_read(client: httpx.Client) -> None:
    """The list shows the plain model first."""
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "demo"
    for one in listed["data"]:
        assert client.get(f"/v1/models/{one['id']}").json() == one
    assert client.get("/v1/models/gpt-4.1").status_code == 404


def test_unknown_paths_have_the_error_envelope(client: httpx.Client) -> None:
    """Also a wrong URL is answered in the protocol's shape."""
    answered = client.get("/v2/none")
    assert answered.status_code == 404
    assert answered.json()["error"]["code"] == "unknown_url"
    assert client.get("/healthz").json() == {"status": "ok"}

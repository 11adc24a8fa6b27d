"""The OpenAI responses shape, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.openai_types import check_event, check_response

PATH = "/v1/responses"
QUESTION = "What is the secret word zanzibar?"
TOOL = {
    "type": "function",
    "name": "look_up",
    "parameters": {
        "type": "object",
        "properties": {"key": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["key", "limit"],
    },
    "strict": True,
}
OTHER_TOOL = {"type": "function", "name": "no_arguments"}


def ask(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """Ask without streaming and give the response, which OpenAI's types and description take."""
    answered = client.post(PATH, json={"model": "demo", "input": QUESTION, **fields})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    check_response(body)
    return body


def stream(client: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    """Ask with streaming and give the events, which OpenAI's types and description take."""
    body = {"model": "demo", "input": QUESTION, "stream": True, **fields}
    answered = client.post(PATH, json=body)
    assert answered.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in answered.text.split("\n\n")[:-1]:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        check_event(event)
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def refusal(client: httpx.Client, **fields: Any) -> tuple[int, str, str | None]:
    """Ask for what is refused and give status, code and field at fault."""
    answered = client.post(PATH, json={"model": "demo", "input": QUESTION, **fields})
    error = answered.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return answered.status_code, error["code"], error["param"]


def text_of(response: dict[str, Any]) -> str:
    """Join the text of a response."""
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning": {"effort": "low", "summary": "auto"}},
        {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]},
        {"tools": [TOOL, OTHER_TOOL], "parallel_tool_calls": True},
        {"max_output_tokens": 3},
    ],
)
def test_a_stream_builds_the_whole_response(client: httpx.Client, fields: dict[str, Any]) -> None:
    """Its last event has it, its items came before, and their deltas join to their texts."""
    whole = ask(client, **fields)
    events = stream(client, **fields)
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{whole['status']}"
    done = [one["item"] for one in events if one["type"] == "response.output_item.done"]
    assert done == whole["output"]
    deltas = "".join(one["delta"] for one in events if one["type"].endswith("output_text.delta"))
    assert deltas == text_of({"output": [i for i in done if i["type"] == "message"]})


def test_text_knows_nothing_of_the_question(client: httpx.Client) -> None:
    """Words of our own, counted."""
    answered = ask(client)
    assert "zanzibar" not in text_of(answered)
    counted = answered["usage"]
    assert counted["output_tokens"] == len(text_of(answered).split())
    assert counted["total_tokens"] == counted["input_tokens"] + counted["output_tokens"]
    assert answered["store"] is False


def test_tools_are_called_when_the_user_asked_last(client: httpx.Client) -> None:
    """One, all, a chosen one or none; with their result there is text."""
    called = ask(client, tools=[TOOL, OTHER_TOOL])["output"]
    assert [item["name"] for item in called] == ["look_up"]
    assert json.loads(called[0]["arguments"]).keys() == {"key", "limit"}
    both = ask(client, tools=[TOOL, OTHER_TOOL], parallel_tool_calls=True)["output"]
    assert [item["name"] for item in both] == ["look_up", "no_arguments"]
    chosen = {"type": "function", "name": "no_arguments"}
    for choice in (chosen, {"type": "allowed_tools", "mode": "required", "tools": [chosen]}):
        found = ask(client, tools=[TOOL, OTHER_TOOL], tool_choice=choice)["output"]
        assert [item["name"] for item in found] == ["no_arguments"]
    assert text_of(ask(client, tools=[TOOL], tool_choice="none"))
    result = {"type": "function_call_output", "call_id": called[0]["call_id"], "output": "7"}
    history = [{"role": "user", "content": QUESTION}, called[0], result]
    assert text_of(ask(client, input=history, tools=[TOOL]))


@pytest.mark.parametrize("choice", ["auto", {"type": "web_search_preview"}])
def test_web_search_is_taken_and_never_done(client: httpx.Client, choice: Any) -> None:
    """There is no web here; the client's own tools are called as ever."""
    search = {"type": "web_search"}
    assert text_of(ask(client, tools=[search], tool_choice=choice))
    called = ask(client, tools=[search, TOOL])["output"]
    assert [item["name"] for item in called] == ["look_up"]


def test_a_schema_is_kept(client: httpx.Client) -> None:
    """In `text.format`."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answered = ask(client, text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
    assert isinstance(json.loads(text_of(answered))["n"], int)
    assert json.loads(text_of(ask(client, text={"format": {"type": "json_object"}})))


def test_reasoning_is_shown_as_far_as_it_is_asked_for(client: httpx.Client) -> None:
    """It is counted in any case."""
    shown = ask(client, reasoning={"effort": "low", "summary": "auto"})
    assert shown["output"][0]["summary"][0]["text"]
    hidden = ask(client, reasoning={"effort": "low"})
    assert hidden["output"][0]["summary"] == []
    assert "encrypted_content" not in hidden["output"][0]
    sealed = ask(client, reasoning={"effort": "low"}, include=["reasoning.encrypted_content"])
    assert sealed["output"][0]["encrypted_content"]
    counts = [one["usage"]["output_tokens_details"] for one in (shown, hidden, sealed)]
    assert counts == [{"reasoning_tokens": 8}] * 3


def test_an_image_is_counted(client: httpx.Client) -> None:
    """85 tokens."""
    text = {"type": "input_text", "text": "What is this?"}
    image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}
    counts = [
        ask(client, input=[{"role": "user", "content": parts}])["usage"]["input_tokens"]
        for parts in ([text], [text, image])
    ]
    assert counts[1] - counts[0] == 85


def test_an_answer_that_is_cut_short_is_incomplete(client: httpx.Client) -> None:
    """By the limit of tokens."""
    answered = ask(client, max_output_tokens=3)
    assert answered["status"] == "incomplete"
    assert answered["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answered["usage"]["output_tokens"] == 3


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"input": None}, (400, "missing_required_parameter", "input")),
        ({"input": []}, (400, "empty_array", "input")),
        ({"input": [{}]}, (400, "invalid_value", "input[0]")),
        ({"input": [{"type": "item_reference", "id": "x"}]}, (400, "item_not_found", "input[0]")),
        ({"max_output_tokens": 0}, (400, "integer_below_min_value", "max_output_tokens")),
        ({"max_output_tokens": "7"}, (400, "invalid_type", "max_output_tokens")),
        ({"reasoning": {"effort": "much"}}, (400, "invalid_value", "reasoning.effort")),
        ({"reasoning": 1}, (400, "invalid_type", "reasoning")),
        ({"tools": 1}, (400, "invalid_type", "tools")),
        ({"tools": [{"type": "function"}]}, (400, "invalid_value", "tools[0]")),
        ({"tools": [TOOL], "tool_choice": "x"}, (400, "invalid_value", "tool_choice")),
        ({"tools": [TOOL], "tool_choice": [1]}, (400, "invalid_value", "tool_choice")),
        ({"tools": [TOOL], "tool_choice": {"name": "x"}}, (400, "invalid_value", "tool_choice")),
        ({"text": {"format": {"type": "x"}}}, (400, "invalid_value", "text.format")),
        ({"model": "demo-error-429"}, (429, "rate_limit_exceeded", None)),
        ({"model": "nope"}, (404, "model_not_found", "model")),
    ],
)
def test_what_cannot_be_used_is_refused(
    client: httpx.Client, fields: dict[str, Any], refused: tuple[int, str, str | None]
) -> None:
    """With the field at fault."""
    assert refusal(client, **fields) == refused

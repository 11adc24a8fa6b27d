"""Chat requests that cross over: into the neutral form, and from it to compatible upstreams."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate import errors
from edge.translate.chat import native, to_neutral
from edge.translate.chat.surface import ChatSurface
from edge.translate.chat.upstream import ChatUpstream
from edge.translate.completions.surface import CompletionsSurface
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.conversation import (
    Conversation,
    Maker,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_any_input import BODIES, as_parsed

CALL = {"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
WIND = {"type": "function", "function": {"name": "wind", "description": "Of a place."}}
PIXEL = "data:image/png;base64,aGk="


def user(*content: Any) -> list[dict[str, Any]]:
    """Return one message of the user: a string, or parts."""
    return [{"role": "user", "content": content[0] if len(content) == 1 else list(content)}]


def read(messages: list[dict[str, Any]] | None = None, **more: Any) -> Conversation:
    """Read a chat body with these members."""
    body = {"model": "m", "messages": messages or user("Hello"), **more}
    request = native.parse(body)
    return to_neutral.conversation(request.body, request.token_limit)


def written(conversation: Conversation, upstream: str = "demo", **more: Any) -> dict[str, Any]:
    """Return what an upstream is asked."""
    options = {"stream": False, **more}
    return ChatUpstream().write(conversation, terms(upstream=upstream), **options)


ROUND_TRIPS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5, "top_p": 1, "top_k": 40, "seed": 7, "stop": ["\n", "END"]},
    {"frequency_penalty": 0.25, "presence_penalty": -1.5, "logit_bias": {"50256": -100}},
    {"n": 3, "logprobs": True, "top_logprobs": 2, "verbosity": "low"},
    {"max_tokens": 100},
    {"reasoning_effort": "high"},
    {"tools": [TOOL, TOOL | {"function": {"name": "wind", "parameters": {}, "strict": True}}]},
    {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "tide"}}},
    {"response_format": {"type": "json_object"}},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "port", "schema": {"type": "object"}, "strict": True},
        }
    },
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            *user({"type": "text", "text": "What is this?"}, {"type": "text", "text": "And this?"}),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "3 m"},
            {"role": "assistant", "content": "High.", "reasoning_content": "Three meters."},
            *user("Thanks."),
        ]
    },
    {
        "messages": user(
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            },
        )
    },
]


@pytest.mark.parametrize("more", ROUND_TRIPS)
def test_what_the_neutral_form_has_comes_out_as_it_went_in(more: dict[str, Any]) -> None:
    """A request through both halves of chat is the same request."""
    body = {"messages": user("Hello"), **more}
    assert written(read(**more)) == {"model": "upstream-model", **body}


@pytest.mark.parametrize("name", sorted(to_neutral.HINTS - {"stream", "stream_options"}))
def test_hints_are_left_out(name: str) -> None:
    """What does not change the answer's meaning refuses nothing."""
    hint: dict[str, Any] = {name: "default"}
    assert written(read(**hint)) == written(read())


REFUSALS: list[tuple[dict[str, Any], type[InvalidRequest], str]] = [
    ({"audio": {"voice": "x"}}, errors.UnsupportedParameter, "audio"),
    ({"modalities": ["text", "audio"]}, errors.UnsupportedParameter, "modalities"),
    ({"functions": [{}]}, errors.UnsupportedParameter, "functions"),
    ({"min_p": 0.1}, errors.UnsupportedParameter, "min_p"),
    ({"my secret plan": 1}, errors.UnsupportedParameter, "body"),
    ({"temperature": "hot"}, errors.InvalidType, "temperature"),
    ({"top_p": True}, errors.InvalidType, "top_p"),
    ({"stop": [1]}, errors.InvalidType, "stop[0]"),
    ({"logit_bias": {"1": "x"}}, errors.InvalidType, "logit_bias"),
    ({"reasoning_effort": "extreme"}, errors.InvalidValue, "reasoning_effort"),
    ({"verbosity": "chatty"}, errors.InvalidValue, "verbosity"),
    ({"response_format": {"type": "grammar"}}, errors.UnsupportedValue, "response_format.type"),
    (
        {"response_format": {"type": "json_schema"}},
        errors.MissingParameter,
        "response_format.json_schema",
    ),
    ({"tools": [{"type": "custom"}]}, errors.UnsupportedValue, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, errors.MissingParameter, "tools[0].function"),
    ({"reasoning_format": "raw"}, errors.UnsupportedValue, "reasoning_format"),
    ({"tool_choice": "maybe"}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": {"type": "custom"}}, errors.UnsupportedValue, "tool_choice.type"),
    ({"thinking": {"type": "deep"}}, errors.InvalidValue, "thinking.type"),
]
MESSAGE_REFUSALS: list[tuple[dict[str, Any], type[InvalidRequest], str]] = [
    ({"role": "user"}, errors.MissingParameter, "messages[0].content"),
    ({"content": "x"}, errors.MissingParameter, "messages[0].role"),
    ({"role": "bard", "content": "x"}, errors.InvalidValue, "messages[0].role"),
    ({"role": "function", "content": "x"}, errors.UnsupportedValue, "messages[0].role"),
    ({"role": "user", "content": 7}, errors.InvalidType, "messages[0].content"),
    (
        {"role": "user", "content": "x", "name": "Ann"},
        errors.UnsupportedParameter,
        "messages[0].name",
    ),
    (
        {"role": "user", "content": "x", "my secret": 1},
        errors.UnsupportedParameter,
        "messages[0]",
    ),
    (
        {"role": "user", "content": [{"type": "video_url"}]},
        errors.UnsupportedValue,
        "messages[0].content[0].type",
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        errors.InvalidValue,
        "messages[0].content[0].image_url.url",
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
        errors.UnsupportedParameter,
        "messages[0].content[0].file.file_id",
    ),
    (
        {"role": "tool", "content": "x"},
        errors.MissingParameter,
        "messages[0].tool_call_id",
    ),
    (
        {"role": "assistant", "tool_calls": [CALL | {"type": "custom"}]},
        errors.UnsupportedValue,
        "messages[0].tool_calls[0].type",
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [CALL | {"function": {"name": "f", "arguments": "[1"}}],
        },
        errors.InvalidValue,
        "messages[0].tool_calls[0].function.arguments",
    ),
]


@pytest.mark.parametrize(("more", "error", "param"), REFUSALS)
def test_what_has_no_place_is_refused_by_name(
    more: dict[str, Any], error: type[InvalidRequest], param: str
) -> None:
    """The name is one of ours: unknown names are the client's words."""
    with pytest.raises(error) as caught:
        read(**more)
    assert type(caught.value) is error
    assert caught.value.param == param
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("message", "error", "param"), MESSAGE_REFUSALS)
def test_what_has_no_place_in_a_message_is_refused_by_its_path(
    message: dict[str, Any], error: type[InvalidRequest], param: str
) -> None:
    """The path leads to the message and the part."""
    with pytest.raises(error) as caught:
        read([message])
    assert (type(caught.value), caught.value.param) == (error, param)


def test_fields_that_say_no_more_than_their_default_refuse_nothing() -> None:
    """Clients spell defaults out: an upstream that cannot take the field still gets the request."""
    defaults: dict[str, Any] = {
        "n": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
    }
    defaults |= {"logit_bias": {}, "parallel_tool_calls": True, "response_format": {"type": "text"}}
    for upstream in ("groq", "mistral", "deepseek", "cerebras", "cohere", "moonshotai"):
        asked = written(read(**defaults), upstream)
        assert asked == {"model": "upstream-model", "messages": user("Hello")}


def test_an_answer_that_is_sent_back_as_it_came_is_read() -> None:
    """SDKs send all fields of a message back, most of them null or empty."""
    back: dict[str, Any] = {
        "role": "assistant",
        "content": "Hi.",
        "refusal": None,
        "annotations": [],
    }
    message = back | {"audio": None, "function_call": None, "tool_calls": None, "name": ""}
    assert read([message]).turns == [
        Turn("assistant", [Text("messages[0].content", "Hi.")], "messages[0]")
    ]


def test_results_of_tools_in_a_row_are_one_turn_and_know_their_tools() -> None:
    """Anthropic and Google want them together, and Google wants the names."""
    calls = [CALL, CALL | {"id": "call_2", "function": {"name": "wind", "arguments": ""}}]
    conversation = read(
        [
            *user("Both?"),
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "3 m"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "W"}]},
        ]
    )
    assistant, results = conversation.turns[1:]
    arguments = [part.arguments for part in assistant.parts if isinstance(part, ToolCall)]
    assert arguments == ['{"a": 1}', "{}"]
    assert [
        (part.call_id, part.name) for part in results.parts if isinstance(part, ToolResult)
    ] == [
        ("call_1", "tide"),
        ("call_2", "wind"),
    ]


def test_allowed_tools_are_the_tools_that_are_left() -> None:
    """Their list restricts without being a forced call."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "wind"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    conversation = read(tools=[TOOL, WIND], tool_choice=choice)
    assert [tool.name for tool in conversation.tools] == ["wind"]
    assert conversation.tool_choice == ToolChoice("required")


SIGNED: list[dict[str, Any]] = [
    {"type": "reasoning.text", "text": "It ", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "is.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "eA==", "format": "anthropic-claude-v1"},
    {"type": "reasoning.summary", "summary": "S", "format": "openai-responses-v1", "id": "rs_1"},
    {"type": "reasoning.encrypted", "data": "eQ==", "format": "openai-responses-v1", "id": "rs_1"},
]


def test_signed_reasoning_comes_back_as_its_maker_signed_it() -> None:
    """Pieces of a stream are one block again; OpenRouter's clients concatenate the lists."""
    turn = read([{"role": "assistant", "content": "Yes.", "reasoning_details": SIGNED}]).turns[0]
    found = [part for part in turn.parts if isinstance(part, Reasoning)]
    path = "messages[0].reasoning_details"
    assert found == [
        Reasoning(path, Maker.ANTHROPIC, "It is.", "c2ln"),
        Reasoning(path, Maker.ANTHROPIC, "", redacted="eA=="),
        Reasoning(path, Maker.RESPONSES, "S", redacted="eQ==", id="rs_1"),
    ]


def test_a_block_ends_with_its_signature() -> None:
    """What follows is another one, although kind and format are the same."""
    details = [SIGNED[0] | {"signature": "YQ=="}, SIGNED[1], SIGNED[2]]
    turn = read([{"role": "assistant", "reasoning_details": details}]).turns[0]
    path = "messages[0].reasoning_details"
    assert turn.parts == [
        Reasoning(path, Maker.ANTHROPIC, "It ", "YQ=="),
        Reasoning(path, Maker.ANTHROPIC, "is.", "c2ln"),
    ]


def test_googles_signature_of_a_call_goes_back_to_google_only() -> None:
    """Other upstreams would not know what it is."""
    signed = CALL | {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    conversation = read(
        [*user("?"), {"role": "assistant", "content": None, "tool_calls": [signed]}]
    )
    assert conversation.turns[1].parts[0].signature == "c2ln"  # type: ignore[union-attr]
    assert written(conversation, "google")["messages"][1]["tool_calls"] == [signed]
    assert written(conversation, "openai")["messages"][1]["tool_calls"] == [CALL]


THINKINGS: list[tuple[dict[str, Any], Thinking]] = [
    ({"reasoning_effort": "low"}, Thinking("low", shown=True, is_shown_by_default=True)),
    ({"reasoning_effort": "none"}, Thinking("none")),
    ({"reasoning": {"effort": "high", "exclude": True}}, Thinking("high", shown=False)),
    ({"reasoning": {"max_tokens": 2000}}, Thinking(None, 2000, shown=True)),
    ({"reasoning": {"enabled": True}}, Thinking(shown=True)),
    ({"reasoning": {}}, Thinking()),
    ({"reasoning": {"enabled": False}}, Thinking("none")),
    ({"reasoning_effort": "default", "reasoning_format": "parsed"}, Thinking(shown=True)),
    ({"reasoning_effort": "low", "reasoning_format": "hidden"}, Thinking("low", shown=False)),
    ({"thinking": {"type": "disabled"}}, Thinking("none")),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Thinking(None, 1024, shown=True)),
    ({"thinking": {"type": "adaptive"}}, Thinking(shown=True)),
]


@pytest.mark.parametrize(("more", "thinking"), THINKINGS)
def test_reasoning_is_asked_for_in_several_spellings(
    more: dict[str, Any], thinking: Thinking
) -> None:
    """OpenAI's, OpenRouter's, and the switch of Anthropic, DeepSeek and others."""
    assert read(**more).thinking == thinking


def test_reasoning_that_was_asked_for_is_shown_whoever_makes_it() -> None:
    """In each API's own words; a completion has no place for it."""
    sent = {"messages": user("?"), "reasoning_effort": "low"}
    chat = ChatSurface().read(orjson.dumps(sent), {}, "", b"")
    completion = {"prompt": "?", "reasoning_effort": "low"}
    text = CompletionsSurface().read(orjson.dumps(completion), {}, "", b"")
    asked = [
        orjson.loads(one.translation(terms(endpoint)).body(None))
        for one in (chat, text)
        for endpoint in (
            Endpoint.ENDPOINT_GENERATE_CONTENT,
            Endpoint.ENDPOINT_MESSAGES,
            Endpoint.ENDPOINT_RESPONSES,
        )
    ]
    assert [one["generationConfig"]["thinkingConfig"]["includeThoughts"] for one in asked[::3]] == [
        True,
        False,
    ]
    assert [one["thinking"]["display"] for one in asked[1::3]] == ["summarized", "omitted"]
    assert [one["reasoning"] for one in asked[2::3]] == [{"effort": "low"}] * 2


@pytest.mark.parametrize(
    ("more", "reasoning"),
    [
        ({"reasoning_effort": "low"}, {"effort": "low"}),
        ({"reasoning": {"effort": "low"}}, {"effort": "low", "summary": "auto"}),
        (
            {"reasoning_effort": "low", "reasoning_format": "parsed"},
            {"effort": "low", "summary": "auto"},
        ),
    ],
)
def test_a_mere_effort_asks_responses_for_no_summary(
    more: dict[str, Any], reasoning: dict[str, Any]
) -> None:
    """OpenAI refuses them to organisations that are not verified: for a field that nobody sent."""
    chat = ChatSurface().read(orjson.dumps({"messages": user("?"), **more}), {}, "", b"")
    sent = chat.translation(terms(Endpoint.ENDPOINT_RESPONSES)).body(None)
    assert orjson.loads(sent)["reasoning"] == reasoning


@given(BODIES, st.sampled_from(["openai", "mistral", "deepseek", "cohere", "openrouter"]))
def test_any_body_crosses_over_or_is_refused_by_an_error_of_ours(value: Any, upstream: str) -> None:
    """And what crosses over keeps every text."""
    body = as_parsed(value)
    try:
        request = native.parse(body)
        conversation = to_neutral.conversation(request.body, request.token_limit)
        asked = written(conversation, upstream)
    except InvalidRequest:
        return
    texts = [part.text for turn in conversation.turns for part in turn.parts if type(part) is Text]
    assert all(text in str(asked["messages"]) or not text.isprintable() for text in texts)

"""The neutral form asked of OpenAI-compatible upstreams, each in its own spelling."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from edge.translate import errors
from edge.translate.chat.upstream import ChatUpstream
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.conversation import (
    Conversation,
    File,
    Image,
    Maker,
    OutputFormat,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_crossing_requests import (
    PIXEL,
    ROUND_TRIPS,
    TOOL,
    read,
    written,
)


def asked(upstream: str, **more: Any) -> dict[str, Any]:
    """Return what an upstream is asked for a minimal conversation with these fields."""
    turns = [Turn("user", [Text("p", "Hello")], "p")]
    body = written(Conversation(**{"turns": turns, **more}), upstream)
    return {name: value for name, value in body.items() if name not in {"model", "messages"}}


FORCED = {"tools": [Tool("t", "tide")], "tool_choice": ToolChoice("required")}
SCHEMA = OutputFormat("schema", "port", {"type": "object"})


@pytest.mark.parametrize(
    ("upstream", "fields", "sent"),
    [
        ("openai", {"max_output_tokens": 9}, {"max_completion_tokens": 9}),
        ("groq", {"max_output_tokens": 9}, {"max_tokens": 9}),
        ("mistral", {"seed": 7}, {"random_seed": 7}),
        ("openai", {"seed": 7}, {"seed": 7}),
        ("openai", {"thinking": Thinking(None, 1024)}, {"reasoning_effort": "minimal"}),
        ("openai", {"thinking": Thinking(None, 31_999)}, {"reasoning_effort": "high"}),
        ("openrouter", {"thinking": Thinking(None, 9)}, {"reasoning": {"max_tokens": 9}}),
        ("openrouter", {"thinking": Thinking("low")}, {"reasoning": {"effort": "low"}}),
        ("moonshotai", {"thinking": Thinking("none")}, {"thinking": {"type": "disabled"}}),
        (
            "deepseek",
            {"thinking": Thinking("high")},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        ("deepseek", {"thinking": Thinking(shown=True)}, {}),
        (
            "cohere",
            {"output_format": SCHEMA},
            {"response_format": {"type": "json_object", "schema": {"type": "object"}}},
        ),
        (
            "groq",
            {"output_format": SCHEMA},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "port", "schema": {"type": "object"}},
                }
            },
        ),
    ],
)
def test_upstreams_differ_as_their_quirks_say(
    upstream: str, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Each is asked in its own spelling."""
    assert asked(upstream, **fields) == sent


def test_forcing_a_tool_is_spelled_as_the_upstream_spells_it() -> None:
    """Mistral says `any`; Moonshot cannot."""
    assert asked("mistral", **FORCED)["tool_choice"] == "any"
    assert asked("openai", **FORCED)["tool_choice"] == "required"
    with pytest.raises(errors.UnsupportedParameter):
        asked("moonshotai", **FORCED)


def test_of_several_named_tools_only_those_are_offered() -> None:
    """Chat can name one."""
    tools = [Tool("t", "tide"), Tool("u", "wind"), Tool("v", "moon")]
    named = asked("openai", tools=tools, tool_choice=ToolChoice("named", ["wind"]))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "wind"}}
    assert len(named["tools"]) == 3
    several = asked("openai", tools=tools, tool_choice=ToolChoice("named", ["wind", "moon"]))
    assert several["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in several["tools"]] == ["wind", "moon"]


@pytest.mark.parametrize(
    ("upstream", "more", "param"),
    [
        ("groq", {"n": 2}, "n"),
        ("groq", {"logprobs": True}, "logprobs"),
        ("mistral", {"logit_bias": {"1": 1}}, "logit_bias"),
        ("openai", {"top_k": 4}, "top_k"),
        ("cerebras", {"frequency_penalty": 1}, "frequency_penalty"),
        ("cerebras", {"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
        (
            "deepseek",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format",
        ),
        ("deepseek", {"messages": ROUND_TRIPS[-1]["messages"]}, "messages[0].content[1]"),
        (
            "openai",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "image_url", "image_url": {"url": PIXEL}}],
                    }
                ]
            },
            "messages[0].content[0]",
        ),
    ],
)
def test_what_an_upstream_cannot_take_is_refused_by_the_clients_name(
    upstream: str, more: dict[str, Any], param: str
) -> None:
    """Before anything is sent."""
    conversation = read(**more)
    with pytest.raises(InvalidRequest) as caught:
        written(conversation, upstream)
    assert caught.value.param == param


def test_ids_of_calls_fit_the_upstream_and_stay_pairs() -> None:
    """Mistral takes nine letters and digits, OpenAI at most forty characters."""
    long = "toolu_" + "x" * 60
    turns = [
        Turn("assistant", [ToolCall("p", long, "tide", "{}")], "p"),
        Turn("tool", [ToolResult("p", long, "tide", [Text("p", "3 m")])], "p"),
    ]
    for upstream, most in (("mistral", 9), ("openai", 40)):
        call, result = written(Conversation(turns), upstream)["messages"]
        identity = call["tool_calls"][0]["id"]
        assert identity == result["tool_call_id"]
        assert len(identity) <= most
        if upstream == "mistral":
            assert identity.isalnum()


def test_reasoning_of_another_maker_is_left_out_and_chats_own_goes_back() -> None:
    """A signature is good for its maker only; where a message keeps nothing, it is left out."""
    own = Reasoning("p", Maker.CHAT, "Hm.")
    other = Reasoning("p", Maker.ANTHROPIC, "Hm.", "c2ln")
    turns = [
        Turn("assistant", [other], "p"),
        Turn("assistant", [own, other, Text("p", "Yes.")], "p"),
    ]
    expected = {"role": "assistant", "content": "Yes."}
    sent = [written(Conversation(turns), name)["messages"] for name in ("openai", "deepseek")]
    assert sent == [[expected], [expected | {"reasoning_content": "Hm."}]]
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    mistral = written(Conversation(turns), "mistral")["messages"]
    assert mistral == [{"role": "assistant", "content": [*parts, {"type": "text", "text": "Yes."}]}]


def test_signed_reasoning_goes_to_who_passes_it_on_to_its_maker() -> None:
    """OpenRouter does; its signatures come back to a client of another API as any do."""
    signed = Reasoning("p", Maker.ANTHROPIC, "Hm.", "c2ln")
    sealed = Reasoning("p", Maker.RESPONSES, "", redacted="eA==", id="rs_1")
    turns = [Turn("assistant", [signed, sealed, Text("p", "Yes.")], "p")]
    (message,) = written(Conversation(turns), "openrouter")["messages"]
    back = read([message]).turns[0].parts
    reasoning = [part for part in back if isinstance(part, Reasoning)]
    assert [(one.maker, one.text, one.signature, one.redacted, one.id) for one in reasoning] == [
        (Maker.ANTHROPIC, "Hm.", "c2ln", None, None),
        (Maker.RESPONSES, "", None, "eA==", "rs_1"),
    ]
    assert "reasoning_details" not in written(Conversation(turns), "groq")["messages"][0]


def test_a_refusal_stays_one_where_the_upstream_has_a_field_for_it() -> None:
    """Elsewhere its text stays."""
    turns = [Turn("assistant", [Refusal("p", "No.")], "p")]
    assert written(Conversation(turns), "openai")["messages"] == [
        {"role": "assistant", "content": None, "refusal": "No."}
    ]
    assert written(Conversation(turns), "groq")["messages"] == [
        {"role": "assistant", "content": "No."}
    ]


def test_files_go_as_the_upstream_takes_them() -> None:
    """Text as text, a PDF as data, an address only where addresses are taken."""
    note = File("p", "text/plain", base64.b64encode(b"Low tide").decode(), name="n.txt")
    address = File("q", url="https://example.com/a.pdf")
    turns = [Turn("user", [note, address], "p")]
    content = written(Conversation(turns), "mistral")["messages"][0]["content"]
    assert content == [
        {"type": "text", "text": "Low tide"},
        {"type": "document_url", "document_url": "https://example.com/a.pdf"},
    ]
    with pytest.raises(errors.UnsupportedValue):
        written(Conversation(turns), "openai")
    with pytest.raises(errors.InvalidValue):
        written(Conversation([Turn("user", [File("p", "text/plain", "?")], "p")]), "openai")


def test_an_image_in_a_tools_result_is_refused() -> None:
    """Chat's tool messages hold text."""
    result = ToolResult("m[2]", "call_1", None, [Image("m[2].image", "image/png", "aGk=")])
    with pytest.raises(errors.UnsupportedValue) as caught:
        written(Conversation([Turn("tool", [result], "m[2]")]), "openai")
    assert caught.value.param == "m[2].image"


def test_usage_is_asked_for_in_streams_and_the_limit_is_the_smaller_one() -> None:
    """But for upstreams that send it always."""
    api, conversation = ChatUpstream(), read(max_tokens=100)
    body = written(conversation, stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in written(conversation, "mistral", stream=True)
    assert api.limit(body, terms(), 50)["max_tokens"] == 50
    assert api.limit(body, terms(), 200)["max_tokens"] == 100
    assert api.limit(body, terms(), None) is body
    assert api.limit(written(read()), terms(upstream="openai"), 5)["max_completion_tokens"] == 5

"""Messages and the neutral form: requests read and written, how much may be thought."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.translate import errors
from edge.translate.messages import call_ids
from edge.translate.messages.to_neutral import conversation
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.neutral.conversation import (
    Audio,
    Conversation,
    File,
    Image,
    Maker,
    OutputFormat,
    Part,
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
from edge.translate.surface import Terms
from tests.support.anthropic_types import check_request
from tests.unit.edge.translate.terms import terms

USER = {"role": "user", "content": "Hi."}


def body(**more: Any) -> dict[str, Any]:
    """Return a plain request with these fields."""
    return {"model": "m", "max_tokens": 9, "messages": [USER], **more}


def written(wanted: Conversation, model: str = "claude-opus-4-6", **given: Any) -> dict[str, Any]:
    """Return what an upstream is asked for a conversation, as it stands on the wire."""
    on_terms: Terms = terms()
    on_terms.upstream_model = model
    for name, value in given.items():
        setattr(on_terms, name, value)
    found: dict[str, Any] = json.loads(
        orjson.dumps(MessagesUpstream().write(wanted, on_terms, stream=False))
    )
    check_request(found)
    return found


def asked(*parts: Part, **more: Any) -> Conversation:
    """Return a conversation of one user's turn."""
    return Conversation([Turn("user", list(parts) or [Text("p", "Hi.")], "p")], **more)


# --- read


def test_a_conversation_is_read_in_turns() -> None:
    """Instructions, questions, calls and their results, each with its path."""
    found = conversation(
        body(
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                        {"type": "redacted_thinking", "data": "d"},
                        {"type": "text", "text": "Wait."},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "content": "1",
                            "is_error": True,
                        },
                        {"type": "text", "text": "So?"},
                        {"type": "image", "source": {"type": "url", "url": "https://e/x.png"}},
                    ],
                },
            ],
        )
    )
    result = ToolResult(
        "messages[2].content[0]",
        "t1",
        "f",
        [Text("messages[2].content[0].content", "1")],
        is_error=True,
    )
    assert found.turns == [
        Turn("system", [Text("system[0]", "Be brief.")], "system"),
        Turn("user", [Text("messages[0].content", "Hi.")], "messages[0]"),
        Turn(
            "assistant",
            [
                Reasoning("messages[1].content[0]", Maker.ANTHROPIC, "Hm.", signature="s"),
                Reasoning("messages[1].content[1]", Maker.ANTHROPIC, "", redacted="d"),
                Text("messages[1].content[2]", "Wait."),
                ToolCall("messages[1].content[3]", "t1", "f", '{"a":1}'),
            ],
            "messages[1]",
        ),
        Turn("tool", [result], "messages[2]"),
        Turn(
            "user",
            [
                Text("messages[2].content[1]", "So?"),
                Image("messages[2].content[2]", url="https://e/x.png"),
            ],
            "messages[2]",
        ),
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice("required")}),
        (
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {"tool_choice": ToolChoice("named", ["f"]), "parallel_tools": False},
        ),
        ({"thinking": {"type": "disabled"}}, {"thinking": Thinking(effort="none")}),
        (
            {
                "thinking": {"type": "adaptive", "display": "omitted"},
                "output_config": {"effort": "low"},
            },
            {"thinking": Thinking(effort="low", shown=False)},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"thinking": Thinking(budget_tokens=1024, shown=True)},
        ),
        ({"output_config": {"effort": "max"}}, {"thinking": Thinking(effort="max")}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"output_format": OutputFormat("schema", schema={"type": "object"}, strict=True)},
        ),
        (
            {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
            {"output_format": OutputFormat("schema", schema={"type": "object"}, strict=True)},
        ),
        (
            {"tools": [{"name": "f", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]},
            {"tools": [Tool("tools[0]", "f", parameters={})]},
        ),
        ({"metadata": {"user_id": "u"}, "context_management": {"edits": []}}, {}),
    ],
)
def test_fields_have_their_neutral_place(more: dict[str, Any], expected: dict[str, Any]) -> None:
    """Hints have none, and change nothing."""
    found = conversation(body(**more))
    plain = conversation(body())
    for name in ("tools", "tool_choice", "parallel_tools", "output_format", "thinking", "stop"):
        assert getattr(found, name) == expected.get(name, getattr(plain, name)), name
    assert found.temperature == expected.get("temperature")
    for name in expected:
        assert name == "tools" or found.paths[name].partition(".")[0] in more


BLOCK = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"secret": 1}, "body"),
        ({"container": "secret"}, "container"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{"name": "f", "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"name": "f", "secret": True}]}, "tools[0]"),
        ({"tool_choice": {"type": "secret"}}, "tool_choice.type"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"output_config": {"effort": "secret"}}, "output_config.effort"),
        ({"output_config": {"task_budget": {}, "secret": 1}}, "output_config"),
        ({"messages": [USER, {"role": "assistant", "content": "So"}]}, "messages[1].role"),
        ({"messages": [{"role": "secret", "content": "So"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, f"{BLOCK}.type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a", "secret": 1}]}
                ]
            },
            BLOCK,
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "document",
                                "source": {"type": "url", "url": "https://e/a.pdf"},
                                "citations": {"enabled": True},
                            }
                        ],
                    }
                ]
            },
            f"{BLOCK}.citations",
        ),
        *(
            (
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": kind, "source": {"type": "url", "url": "gs://secret/a"}}
                            ],
                        }
                    ]
                },
                f"{BLOCK}.source.url",
            )
            for kind in ("image", "document")
        ),
    ],
)
def test_what_has_no_neutral_place_is_refused_by_its_path(more: dict[str, Any], param: str) -> None:
    """Names that are not ours are not repeated."""
    with pytest.raises(errors.InvalidRequest) as caught:
        conversation(body(**more))
    assert caught.value.param == param
    assert "secret" not in caught.value.message


# --- written


def test_blank_text_is_not_written() -> None:
    """The API refuses it wherever it stands, and other upstreams make it beside their calls."""
    call = ToolCall("p", "c", "f", "{}")
    turns = [
        Turn("system", [Text("p", " ")], "p"),
        Turn("user", [Text("p", " Hi. "), Text("p", "\n")], "p"),
        Turn("assistant", [Text("p", "\n\n"), Refusal("p", " "), call], "p"),
        Turn("tool", [ToolResult("p", "c", "f", [Text("p", "\t")])], "p"),
    ]
    found = written(Conversation(turns))
    assert "system" not in found
    assert [one["content"] for one in found["messages"]] == [
        [{"type": "text", "text": " Hi. "}],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {}}],
        [{"type": "tool_result", "tool_use_id": "c"}],
    ]


def test_turns_are_written_as_messages() -> None:
    """Instructions come first, neighbours of one role are one message, empty text is left out."""
    call = ToolCall("p", "call.1", "f", '{"n": 1.50, "big": 12345678901234567890123}')
    turns = [
        Turn("system", [Text("p", "Be brief.")], "p"),
        Turn("user", [Text("p", "Hi."), Text("p", "")], "p"),
        Turn("assistant", [Refusal("p", "No."), call, ToolCall("p", "c2", "g", "")], "p"),
        Turn("tool", [ToolResult("p", "call.1", "f", [Text("p", "1")])], "p"),
        Turn("tool", [ToolResult("p", "c2", "g", [], is_error=True)], "p"),
        Turn("system", [Text("p", "And kind.")], "p"),
        Turn("user", [Text("p", "So?")], "p"),
    ]
    raw = orjson.dumps(MessagesUpstream().write(Conversation(turns), terms(), stream=True))
    assert b'"input":{"n": 1.50, "big": 12345678901234567890123}' in raw
    assert json.loads(raw)["stream"] is True
    found = written(Conversation(turns))
    assert found["system"] == [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "And kind."},
    ]
    assert [one["role"] for one in found["messages"]] == ["user", "assistant", "user"]
    assert found["messages"][0]["content"] == [{"type": "text", "text": "Hi."}]
    spoken = found["messages"][1]["content"]
    assert [one["type"] for one in spoken] == ["text", "tool_use", "tool_use"]
    assert (spoken[1]["id"], spoken[2]["input"]) == ("call_1", {})
    assert found["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "call_1",
            "content": [{"type": "text", "text": "1"}],
        },
        {"type": "tool_result", "tool_use_id": "c2", "is_error": True},
        {"type": "text", "text": "So?"},
    ]
    assert found["max_tokens"] == 4096


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            Image("p", media_type="image/png", data="aa=="),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aa=="},
            },
        ),
        (
            Image("p", url="https://e"),
            {"type": "image", "source": {"type": "url", "url": "https://e"}},
        ),
        (
            File("p", media_type="application/pdf", data="aa==", name="A"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aa=="},
                "title": "A",
            },
        ),
        (
            File("p", media_type="text/plain", data="w6Q="),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "ä"},
            },
        ),
        (
            File("p", url="https://e"),
            {"type": "document", "source": {"type": "url", "url": "https://e"}},
        ),
    ],
)
def test_media_are_written_as_blocks(part: Part, expected: dict[str, Any]) -> None:
    """Data, addresses, and plain text as text."""
    assert written(asked(part))["messages"][0]["content"] == [expected]


@pytest.mark.parametrize(
    "part",
    [
        Audio("p", "wav", "aa=="),
        Image("p", data="aa=="),
        File("p", media_type="application/zip", data="aa=="),
        File("p", media_type="text/plain", data="no base64"),
        File("p", media_type="text/plain", data="/w=="),
        ToolCall("p", "c", "f", "{}"),
        Reasoning("p", Maker.ANTHROPIC, "t"),
    ],
)
def test_parts_without_a_block_are_refused_by_their_path(part: Part) -> None:
    """Never dropped in silence."""
    with pytest.raises(errors.InvalidRequest) as caught:
        written(asked(part))
    assert caught.value.param == "p"


@pytest.mark.parametrize("arguments", ["[1]", "{", '"a"', "{} {}", "\ud800"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    """The API takes objects only."""
    turns = [Turn("assistant", [ToolCall("p", "c", "f", arguments)], "p")]
    with pytest.raises(errors.InvalidValue):
        written(Conversation(turns))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frequency_penalty", 0.5),
        ("presence_penalty", 0.5),
        ("seed", 7),
        ("logprobs", True),
        ("top_logprobs", 2),
        ("logit_bias", {"1": 1.0}),
        ("verbosity", "low"),
        ("choices", 2),
        ("temperature", 1.5),
        ("tool_choice", ToolChoice("named", ["f", "g"])),
        ("output_format", OutputFormat("json")),
    ],
)
def test_fields_without_a_place_are_refused_by_the_clients_name(name: str, value: Any) -> None:
    """As the client called them."""
    wanted = asked(tools=[Tool("p", "f"), Tool("p", "g")], paths={name: f"client.{name}"})
    setattr(wanted, name, value)
    with pytest.raises(errors.UnsupportedParameter) as caught:
        written(wanted)
    assert caught.value.param == f"client.{name}"


def test_tools_are_written_with_the_choice_among_them() -> None:
    """The type that the API wants of a schema is added."""
    tool = Tool("p", "f", "does", {"properties": {"a": {}}}, strict=True)
    found = written(asked(tools=[tool, Tool("p", "g")], parallel_tools=False))
    assert found["tools"] == [
        {
            "name": "f",
            "description": "does",
            "input_schema": {"type": "object", "properties": {"a": {}}},
            "strict": True,
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert found["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    for choice, expected in (
        (ToolChoice("none"), {"type": "none"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", ["f"]), {"type": "tool", "name": "f"}),
    ):
        assert written(asked(tools=[tool], tool_choice=choice))["tool_choice"] == expected
    assert "tool_choice" not in written(asked(tools=[tool]))
    assert "tool_choice" not in written(asked(tool_choice=ToolChoice("none")))


def test_a_schema_stands_beside_the_effort() -> None:
    """Both are `output_config`."""
    wanted = asked(
        output_format=OutputFormat("schema", schema={"type": "object"}),
        thinking=Thinking(effort="high"),
    )
    assert written(wanted)["output_config"] == {
        "effort": "high",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


def test_reasoning_goes_back_to_its_maker_only() -> None:
    """Unchanged, with its signature; what is unsigned or another's is left out."""
    turns = [
        Turn("user", [Text("p", "Hi.")], "p"),
        Turn(
            "assistant",
            [
                Reasoning("p", Maker.ANTHROPIC, "Hm.", signature="s"),
                Reasoning("p", Maker.ANTHROPIC, "", redacted="d"),
                Reasoning("p", Maker.ANTHROPIC, "unsigned"),
                Reasoning("p", Maker.GOOGLE, "other", signature="g"),
                Text("p", "So."),
            ],
            "p",
        ),
        Turn("user", [Text("p", "And?")], "p"),
    ]
    assert written(Conversation(turns))["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "So."},
    ]


# --- ids


@pytest.mark.parametrize("signature", ["YQ==", "a+b/", "YWJj" * 1000])
def test_an_id_carries_a_signature_there_and_back(signature: str) -> None:
    """In the alphabet of ids."""
    carried = call_ids.signed("call_1", signature)
    assert call_ids.in_alphabet(carried) == carried
    assert call_ids.split(carried) == ("call_1", signature)


@pytest.mark.parametrize("signature", [None, "", "no base64!"])
def test_what_is_no_signature_is_not_carried(signature: str | None) -> None:
    """The id stays as it is."""
    assert call_ids.signed("call_1", signature) == "call_1"
    assert call_ids.split("call_1") == ("call_1", None)
    assert call_ids.split("__signed__") == ("__signed__", None)

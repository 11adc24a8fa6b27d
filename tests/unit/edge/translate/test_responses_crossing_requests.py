"""Requests of responses in the neutral form and back: the halves that requests cross over by."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edge.translate.errors import InvalidRequest, UnsupportedParameter
from edge.translate.neutral.conversation import (
    Audio,
    Conversation,
    File,
    Image,
    Maker,
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
from edge.translate.responses import to_neutral
from edge.translate.responses.read_tools import namespaces
from edge.translate.responses.sealed import opened, seal
from edge.translate.responses.upstream import ResponsesUpstream
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_responses_request import message, read

UPSTREAM = ResponsesUpstream()
FUNCTION = {
    "type": "function",
    "name": "f",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
    "description": "Does it.",
}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "7"}


def neutral(**members: Any) -> Conversation:
    """Return a request in the neutral form."""
    return read(**members).conversation()


def refusal(**members: Any) -> tuple[str, str | None]:
    """Return code and path of what cannot cross over."""
    with pytest.raises(InvalidRequest) as caught:
        neutral(**members)
    return caught.value.code, caught.value.param


def written(conversation: Conversation, *, stream: bool = False) -> dict[str, Any]:
    """Return what an upstream is asked."""
    return UPSTREAM.write(conversation, terms(Endpoint.ENDPOINT_RESPONSES), stream=stream)


def asked(*parts: Part, **more: Any) -> Conversation:
    """Return a conversation with one turn of the user's."""
    return Conversation([Turn("user", list(parts) or [Text("p", "Hi.")], "messages[0]")], **more)


def text(words: str, kind: str = "input_text") -> dict[str, Any]:
    """Return a part of text."""
    return {"type": kind, "text": words}


HELLO = message(text("Hi."))
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [HELLO],
    [
        {"type": "message", "role": "developer", "content": [text("Be brief.")]},
        message(text("Hi."), {"type": "input_image", "image_url": "https://a/b", "detail": "low"}),
        {"type": "message", "role": "assistant", "content": [text("Yes?", "output_text")]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
        message(text("And?")),
    ],
    [
        HELLO,
        {
            "type": "reasoning",
            "summary": [text("Hm.", "summary_text")],
            "encrypted_content": "secret",
        },
        CALL,
        {**CALL, "call_id": "c2"},
        RESULT,
        {
            **RESULT,
            "call_id": "c2",
            "output": [
                text("8"),
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,AAAA",
                    "detail": "auto",
                },
            ],
        },
    ],
    [
        message(
            {"type": "input_file", "file_url": "https://a/b.pdf"},
            {
                "type": "input_file",
                "file_data": "data:text/plain;base64,AAAA",
                "filename": "a.txt",
            },
        )
    ],
]
SETTINGS: list[dict[str, Any]] = [
    {
        "tools": [FUNCTION],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
    },
    {
        "text": {
            "format": {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "strict": True,
                "description": "d",
            },
            "verbosity": "low",
        },
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
    },
    {
        "text": {"format": {"type": "json_object"}},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 3,
        "tool_choice": "none",
    },
]


@pytest.mark.parametrize("items", CONVERSATIONS)
def test_items_come_back_as_they_were(items: list[dict[str, Any]]) -> None:
    """A request, the neutral form, a request."""
    assert written(neutral(input=items))["input"] == items


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_come_back_as_they_were(settings: dict[str, Any]) -> None:
    """With nothing that was not said."""
    body = written(neutral(input=[HELLO], **settings), stream=True)
    ours = {"model": "upstream-model", "store": False, "stream": True, "input": [HELLO]}
    assert body == {**ours, **settings}


def test_text_and_instructions_are_turns() -> None:
    """The short forms."""
    read_ = neutral(instructions="Be brief.", input="Hi.")
    assert [(turn.role, turn.path) for turn in read_.turns] == [
        ("system", "instructions"),
        ("user", "input"),
    ]


def test_hints_are_left_out() -> None:
    """They change nothing of the answer."""
    hints: dict[str, Any] = dict.fromkeys(to_neutral.HINTS, None)
    hints |= {
        "metadata": {"a": "b"},
        "client_metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "store": True,
        "truncation": "disabled",
        "max_tool_calls": 3,
        "service_tier": "auto",
        "include": ["reasoning.encrypted_content"],
        "presence_penalty": 0,
    }
    plain = written(neutral(input=[HELLO]))
    assert written(neutral(input=[HELLO], **hints)) == plain
    marked = {**HELLO, "id": "msg_1", "status": "completed"}
    said = {"type": "message", "role": "assistant", "content": "Yes?", "phase": "commentary"}
    found = written(neutral(input=[marked, said]))["input"]
    assert found[0] == HELLO


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"canary_of_a_client": 1}, "unsupported_parameter", "body"),
        ({"truncation": "auto"}, "unsupported_parameter", "truncation"),
        ({"text": {"canary": 1}}, "unsupported_parameter", "text"),
        ({"text": {"verbosity": "much"}}, "invalid_value", "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "invalid_value", "text.format.type"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        ({"reasoning": {"effort": "much"}}, "invalid_value", "reasoning.effort"),
        ({"reasoning": {"canary": 1}}, "unsupported_parameter", "reasoning"),
        ({"include": ["canary"]}, "unsupported_value", "include[0]"),
        ({"include": [[]]}, "unsupported_value", "include[0]"),
        ({"top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"tools": [{"type": "custom", "name": "c"}]}, "unsupported_value", "tools[0].type"),
        (
            {"tools": [{"type": "tool_search", "execution": "client"}]},
            "unsupported_value",
            "tools[0].type",
        ),
        ({"tools": [{"type": "function", "name": ""}]}, "invalid_value", "tools[0].name"),
        ({"tool_choice": "sometimes"}, "unsupported_value", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": [], "tools": []}},
            "invalid_type",
            "tool_choice.mode",
        ),
        ({"input": [{"type": "custom_tool_call"}]}, "unsupported_value", "input[0].type"),
        ({"input": [{"role": "critic", "content": "x"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        (
            {"input": [message({"type": "input_image", "image_url": "data:,x"})]},
            "invalid_value",
            "input[0].content[0].image_url",
        ),
        (
            {"input": [message({"type": "input_image", "image_url": "file:///etc/hosts"})]},
            "invalid_value",
            "input[0].content[0].image_url",
        ),
        (
            {"input": [message({"type": "input_file", "file_url": "gs://bucket/a.pdf"})]},
            "invalid_value",
            "input[0].content[0].file_url",
        ),
        (
            {"input": [message(text("a", "refusal"))]},
            "unsupported_value",
            "input[0].content[0].type",
        ),
        (
            {"input": [message({**text("a"), "canary": 1})]},
            "unsupported_parameter",
            "input[0].content[0]",
        ),
        ({"input": [{**CALL, "call_id": ""}]}, "invalid_value", "input[0].call_id"),
        ({"input": [{**CALL, "name": None}]}, "missing_required_parameter", "input[0].name"),
    ],
)
def test_what_has_no_place_is_refused_by_name(
    members: dict[str, Any], code: str, param: str
) -> None:
    """A name that the client made up is not repeated: its object is named."""
    assert refusal(**members) == (code, param)


def test_turns_of_the_assistant_keep_calls_with_what_was_said_between_them() -> None:
    """Results follow the turn that has all of their calls."""
    said = {"role": "assistant", "content": "Wait."}
    items = [HELLO, said, {**said, "content": "So."}, CALL, said, {**CALL, "call_id": "c2"}, RESULT]
    turns = neutral(input=items).turns
    kinds = [[type(part).__name__ for part in turn.parts] for turn in turns]
    assert kinds == [
        ["Text"],
        ["Text"],
        ["Text", "ToolCall", "Text", "ToolCall"],
        ["ToolResult"],
    ]
    result = turns[-1].parts[0]
    assert isinstance(result, ToolResult)
    assert result.name == "f"


def test_allowed_tools_are_the_only_ones_that_are_left() -> None:
    """No API but this one and chat can name several."""
    others = [FUNCTION, {**FUNCTION, "name": "g"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{**FUNCTION, "name": "g"}]}
    found = neutral(tools=others, tool_choice=choice)
    assert [tool.name for tool in found.tools] == ["g"]
    assert found.tool_choice == ToolChoice("required")


def test_hosted_tool_search_shows_all_tools_at_once() -> None:
    """Where there is none, the model reads of all tools; what it found is there once."""
    deferred = {**FUNCTION, "name": "g", "defer_loading": True}
    items = [
        HELLO,
        {"type": "tool_search_call", "execution": "server", "arguments": {}},
        {"type": "tool_search_output", "execution": "server", "tools": [deferred]},
        {"type": "additional_tools", "role": "developer", "tools": [{**FUNCTION, "name": "h"}]},
    ]
    found = neutral(tools=[FUNCTION, deferred, {"type": "tool_search"}], input=items)
    assert [tool.name for tool in found.tools] == ["f", "g", "h"]
    assert len(found.turns) == 1


SPACE = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [FUNCTION]}


def test_functions_in_namespaces_have_one_name_elsewhere() -> None:
    """Their calls are told apart from those of plain functions."""
    call = {**CALL, "namespace": "crm"}
    found_by_search = {**CALL, "call_id": "c2", "namespace": "f"}
    items = [HELLO, call, found_by_search, RESULT]
    found = neutral(tools=[FUNCTION, SPACE], input=items)
    assert [(tool.name, tool.description) for tool in found.tools] == [
        ("f", "Does it."),
        ("crm__f", "Customers.\n\nDoes it."),
    ]
    calls = [part for part in found.turns[1].parts if isinstance(part, ToolCall)]
    assert [one.name for one in calls] == ["crm__f", "f"]
    result = found.turns[2].parts[0]
    assert isinstance(result, ToolResult)
    assert result.name == "crm__f"


@pytest.mark.parametrize(
    ("space", "name"), [("s" * 40, "f" * 40), ("crm.v2", "f"), ("crm", "f" * 128), ("ü", "f")]
)
def test_what_is_no_name_elsewhere_is_cut_and_marked(space: str, name: str) -> None:
    """Calls come back under both names, and names that begin alike stay apart."""
    functions = [{**FUNCTION, "name": name}, {**FUNCTION, "name": name + "2"}]
    tools = [{**SPACE, "name": space, "tools": functions}]
    call = {**CALL, "namespace": space, "name": name + "2"}
    found = neutral(tools=tools, input=[HELLO, call, RESULT])
    names = [tool.name for tool in found.tools]
    assert len(set(names)) == 2
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", one) for one in names)
    (called,) = (part for part in found.turns[1].parts if isinstance(part, ToolCall))
    assert called.name == names[1]
    assert [namespaces({"tools": tools})[one] for one in names] == [
        (space, name),
        (space, name + "2"),
    ]


def test_a_name_that_could_mean_two_functions_is_refused() -> None:
    """A call could not be told to the client."""
    twice = {**FUNCTION, "name": "crm__f"}
    assert refusal(tools=[SPACE, twice]) == ("unsupported_value", "tools[1].name")
    inner, outer = (
        {**SPACE, "name": space, "tools": [{**FUNCTION, "name": name}]}
        for space, name in (("crm", "a__b"), ("crm__a", "b"))
    )
    assert refusal(tools=[inner, outer]) == ("unsupported_value", "tools[0].tools[0].name")
    custom = {**SPACE, "tools": [{"type": "custom", "name": "c"}]}
    assert refusal(tools=[custom]) == ("unsupported_value", "tools[0].tools[0].type")


def test_what_a_tool_says_without_being_called_is_said_by_the_user() -> None:
    """Agents put goals and states there; no other API has results of no call."""
    item = {"type": "function_call_output", "name": "goal", "namespace": "agent", "output": "Tide."}
    turns = neutral(input=[HELLO, item]).turns
    assert [(turn.role, turn.path) for turn in turns] == [
        ("user", "input[0]"),
        ("user", "input[1]"),
    ]
    assert turns[1].parts == [Text("input[1].output", "Tide.")]


def test_reasoning_goes_back_to_its_maker_only() -> None:
    """Sealed by us for others; what is not sealed is of this API."""
    signed = {
        "type": "reasoning",
        "summary": [],
        "content": [text("Hm.", "reasoning_text")],
        "encrypted_content": seal(Maker.ANTHROPIC, "signed", "sig.1"),
    }
    redacted = {
        **signed,
        "encrypted_content": seal(Maker.ANTHROPIC, "redacted", "r"),
        "content": [],
    }
    of_call = {**redacted, "encrypted_content": seal(Maker.GOOGLE, "call", "thought")}
    own = {**redacted, "encrypted_content": "1api.nobody.signed.x"}
    read_ = neutral(input=[HELLO, signed, redacted, own, of_call, CALL, RESULT])
    parts = read_.turns[1].parts
    assert [
        (part.maker, part.text, part.signature, part.redacted)
        for part in parts
        if isinstance(part, Reasoning)
    ] == [
        (Maker.ANTHROPIC, "Hm.", "sig.1", None),
        (Maker.ANTHROPIC, "", None, "r"),
        (Maker.RESPONSES, "", "1api.nobody.signed.x", None),
    ]
    assert isinstance(parts[-1], ToolCall)
    assert parts[-1].signature == "thought"
    kinds = [item["type"] for item in written(read_)["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]


@pytest.mark.parametrize("content", ["", "secret", "1api.", "1api.google", None, "1api.google.x.y"])
def test_only_what_we_sealed_is_opened(content: str | None) -> None:
    """Anything else is the provider's own."""
    assert opened(content) is None


def test_what_other_apis_say_is_written_or_refused_by_the_clients_name() -> None:
    """Budgets become efforts, strictness is said, errors of tools are their words."""
    thinking = asked(thinking=Thinking(budget_tokens=2000, shown=True))
    assert written(thinking)["reasoning"] == {"effort": "low", "summary": "auto"}
    assert written(asked(thinking=Thinking(effort="none")))["reasoning"] == {"effort": "none"}
    tool = Tool("tools[0]", "f")
    assert written(asked(tools=[tool]))["tools"] == [
        {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        }
    ]
    several = ToolChoice("named", ["f", "g"])
    assert written(asked(tools=[tool], tool_choice=several))["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
    }
    for name in ("stop", "seed", "top_k", "logit_bias", "frequency_penalty", "choices"):
        with pytest.raises(UnsupportedParameter) as caught:
            written(asked(**{name: 2, "paths": {name: f"the {name}"}}))
        assert caught.value.param == f"the {name}"
    with pytest.raises(InvalidRequest) as refused:
        written(asked(Audio("messages[0].content[0]", "wav", "AAAA")))
    assert refused.value.param == "messages[0].content[0]"
    image = Image("p", media_type="image/png", data="AAAA", detail="high")
    assert written(asked(image))["input"][0]["content"][0] == {
        "type": "input_image",
        "image_url": "data:image/png;base64,AAAA",
        "detail": "high",
    }
    with pytest.raises(InvalidRequest):
        written(asked(File("p", data="AAAA")))
    turn = Turn("assistant", [Refusal("p", "No.")], "q")
    assert written(Conversation([turn]))["input"][0]["content"] == [
        {"type": "refusal", "refusal": "No."}
    ]


@pytest.mark.parametrize(
    ("own", "ours", "told"), [(None, 7, 7), (5, 7, 5), (9, 7, 7), (9, None, 9)]
)
def test_the_smaller_limit_counts(own: int | None, ours: int | None, told: int) -> None:
    """The client's and the one that was held for."""
    body = written(asked(max_output_tokens=own))
    limited = UPSTREAM.limit(body, terms(Endpoint.ENDPOINT_RESPONSES), ours)
    assert limited["max_output_tokens"] == told

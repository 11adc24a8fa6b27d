"""Conversations that end with the model's words, and those of no words, for message upstreams."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.translate import errors
from edge.translate.chat.surface import ChatSurface
from edge.translate.generate.surface import GenerateSurface
from edge.translate.messages.surface import MessagesSurface
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.neutral.conversation import (
    Conversation,
    Maker,
    Reasoning,
    Text,
    ToolCall,
    Turn,
)
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import ClientRequest, Surface
from oneapi.common.v1.endpoint_pb2 import ENDPOINT_MESSAGES
from tests.unit.edge.translate.terms import terms

USER = {"role": "user", "content": "Hi."}


def written(turns: list[Turn]) -> dict[str, Any]:
    """Return what an upstream is asked for these turns."""
    return MessagesUpstream().write(Conversation(turns), terms(), stream=False)


@pytest.mark.parametrize(
    ("turns", "path"),
    [
        ([Turn("user", [Text("p", "Hi.")], "a"), Turn("assistant", [Text("p", "So")], "b")], "b"),
        (
            [
                Turn("user", [Text("p", "Hi.")], "a"),
                Turn("assistant", [ToolCall("p", "c", "f", "{}")], "b"),
                Turn("system", [Text("p", "Go on.")], "c"),
            ],
            "b",
        ),
        ([Turn("system", [Text("p", "Be brief.")], "a")], "a"),
        ([Turn("system", [Text("p", "A.")], "a"), Turn("user", [Text("p", "")], "b")], "b"),
        ([], "messages"),
    ],
)
def test_what_the_model_would_go_on_with_is_refused_by_its_path(
    turns: list[Turn], path: str
) -> None:
    """In this API an answer at the end is its beginning; without any message it answers nothing."""
    with pytest.raises(errors.UnsupportedValue) as caught:
        written(turns)
    assert caught.value.param == path


def test_nothing_at_the_end_of_a_conversation_is_no_beginning() -> None:
    """An assistant's turn of which nothing is written, like another maker's reasoning."""
    turns = [
        Turn("user", [Text("p", "Hi.")], "a"),
        Turn("assistant", [Reasoning("p", Maker.CHAT, "Hm."), Text("p", "")], "b"),
    ]
    assert [one["role"] for one in written(turns)["messages"]] == ["user"]


def _call(surface: Surface, sent: dict[str, Any], path: str = "") -> ClientRequest:
    return surface.read(orjson.dumps(sent), {}, path, b"")


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (
            _call(
                ChatSurface(),
                {"messages": [USER, {"role": "assistant", "content": "So"}]},
            ),
            "messages[1]",
        ),
        (
            _call(ChatSurface(), {"messages": [{"role": "developer", "content": "Be brief."}]}),
            "messages[0]",
        ),
        (
            _call(
                ResponsesSurface(),
                {"store": False, "input": [USER, {"role": "assistant", "content": "So"}]},
            ),
            "input[1]",
        ),
        (_call(ResponsesSurface(), {"store": False, "input": "", "instructions": "A."}), "input"),
        (
            _call(
                ResponsesSurface(),
                {"store": False, "input": [{"type": "additional_tools", "tools": []}]},
            ),
            "input",
        ),
        (
            _call(
                GenerateSurface(),
                {
                    "contents": [
                        {"role": "user", "parts": [{"text": "Hi."}]},
                        {"role": "model", "parts": [{"text": "So"}]},
                    ]
                },
                "/v1beta/models/m:generateContent",
            ),
            "contents[1]",
        ),
    ],
)
def test_every_api_names_the_message_that_would_be_gone_on_with(
    call: ClientRequest, param: str
) -> None:
    """As the client knows it; where the upstream serves the API itself, the message passes."""
    with pytest.raises(errors.UnsupportedValue) as caught:
        call.translation(terms(ENDPOINT_MESSAGES))
    assert caught.value.param == param


def test_a_beginning_of_an_answer_passes_where_the_upstream_knows_it() -> None:
    """It is Anthropic's own way to say how an answer begins."""
    sent = {"max_tokens": 9, "messages": [USER, {"role": "assistant", "content": "So"}]}
    native = _call(MessagesSurface(), sent).translation(terms(ENDPOINT_MESSAGES))
    assert json.loads(native.body(None))["messages"] == sent["messages"]

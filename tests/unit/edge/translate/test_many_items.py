"""Requests with very many items take a time that grows as they do, not as their square.

No clock decides it. Where words are compared the comparisons are counted; elsewhere there are so
many items that their square would take longer than a test may.
"""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import pytest

from edge.translate import tool_count
from edge.translate.chat import reasoning_details
from edge.translate.chat.answer_reader import ChatAnswerReader
from edge.translate.chat.upstream import ChatUpstream
from edge.translate.errors import InvalidRequest
from edge.translate.generate.parts import Contents
from edge.translate.generate.request import GenerateRequest
from edge.translate.neutral.conversation import (
    Conversation,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from edge.translate.neutral.events import ToolCallDelta
from edge.translate.responses.read_items import ItemReader
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_shape import Limits
from tests.unit.edge.translate.test_schemas import JSON_OPERATIONS, refusal, schema_fault

COUNT = 500


class Word(str):
    """A word that counts how often it is compared."""

    __slots__ = ()
    compared: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Word.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    Word.compared = 0


def words(prefix: str, count: int = COUNT) -> list[str]:
    """Return different words."""
    return [Word(f"{prefix}{number}") for number in range(count)]


def test_tools_are_chosen_by_name_at_once() -> None:
    """The names that are allowed are not gone through for each tool."""
    asked = Conversation(
        turns=[Turn("user", [Text("a", "Hi.")], "a")],
        tools=[Tool("a", name) for name in words("f")],
        tool_choice=ToolChoice("named", words("f")),
    )
    body = ChatUpstream().write(asked, terms(), stream=False)
    assert len(body["tools"]) == COUNT
    assert Word.compared <= 4 * COUNT


def test_results_find_their_calls_at_once() -> None:
    """Also where they come in the other order, and with ids."""
    calls = [{"functionCall": {"id": one, "name": "f"}} for one in words("c")]
    results = [{"functionResponse": {"id": one, "name": "f"}} for one in reversed(words("c"))]
    contents = [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    assert len(Contents().turns({"contents": contents})[1].parts) == COUNT
    assert Word.compared <= 8 * COUNT


def test_results_without_ids_answer_the_calls_in_order() -> None:
    """The oldest one that still waits, each at once."""
    count = 20_000
    calls = [{"functionCall": {"name": "f"}}] * count
    results = [{"functionResponse": {"name": "f"}}] * count
    contents = [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    found: Any = Contents().turns({"contents": contents})[1].parts
    assert [one.call_id for one in found[:2]] == ["call_1", "call_2"]
    assert found[-1].call_id == f"call_{count}"


def test_thoughts_that_nobody_signed_are_kept_once() -> None:
    """They are not copied for each one that follows."""
    parts = [{"text": "a", "thought": True}] * 400_000
    turns = Contents().turns({"contents": [{"role": "model", "parts": parts}]})
    assert len(turns[0].parts) == len(parts)


def test_pieces_of_reasoning_are_joined_once() -> None:
    """What is there so far is not copied for each piece that follows."""
    piece = reasoning_details.text_detail(
        next(iter(reasoning_details.FORMATS)), "a" * 1000, summary=False
    )
    joined = reasoning_details.joined([piece] * 50_000)
    assert [len(one["text"]) for one in joined] == [50_000_000]


def test_a_turn_is_not_looked_through_for_each_item() -> None:
    """Of reasoning without words between it."""
    reader = ItemReader({})
    for number in range(60_000):
        reader.read({"type": "reasoning", "summary": []}, f"input[{number}]")
    assert len(reader.turns) == 1


def test_calls_of_an_answer_are_known_at_once() -> None:
    """By the id, where an upstream repeats it in each piece."""
    calls = [{"id": one, "function": {"name": "f", "arguments": ""}} for one in words("c")]
    pieces = [{"id": one, "function": {"arguments": "{}"}} for one in words("c")]
    reader = ChatAnswerReader(terms())
    said = {"tool_calls": calls + pieces}
    events = reader.frame(orjson.dumps({"choices": [{"delta": said}]}))
    more = [one.call for one in events if isinstance(one, ToolCallDelta)]
    assert more == list(range(COUNT))


MOST = tool_count.MAX_TOOLS
MESSAGES = [{"role": "user", "content": "Hi."}]
FUNCTION = {"type": "function", "function": {"name": "f"}}
CONTENTS = [{"parts": [{"text": "Hi."}]}]


@pytest.mark.parametrize(
    ("name", "body", "tool", "at"),
    [
        ("createChatCompletion", {"messages": MESSAGES}, FUNCTION, "tools"),
        ("createResponse", {"input": "Hi."}, {"type": "function", "name": "f"}, "tools"),
        ("createMessage", {"messages": MESSAGES, "max_tokens": 1}, {"name": "f"}, "tools"),
        ("generateContent", {"contents": CONTENTS}, {"functionDeclarations": []}, "tools"),
    ],
)
def test_tools_are_bounded(name: str, body: dict[str, Any], tool: Any, at: str) -> None:
    """In every API for text, by parser and schema alike."""
    operation = JSON_OPERATIONS[name]
    for count, expected in ((MOST, None), (MOST + 1, f"invalid_value {at}")):
        sent = {**body, "tools": [tool] * count}
        assert refusal(operation, sent) == expected
        assert (schema_fault(name, sent) is None) == (expected is None)


def test_declarations_and_names_are_bounded() -> None:
    """Google has lists of functions inside its tools, and of names beside them."""
    names = [f"f{number}" for number in range(MOST + 1)]
    declared = [{"functionDeclarations": [{"name": one} for one in names]}]
    calling = {"mode": "ANY", "allowedFunctionNames": names}
    asked = GenerateRequest({"contents": CONTENTS, "tools": declared}, "m", stream=False)
    with pytest.raises(InvalidRequest) as refused:
        asked.shape(Limits())
    assert refused.value.param == "tools[0].functionDeclarations"
    chosen = {"contents": CONTENTS, "toolConfig": {"functionCallingConfig": calling}}
    with pytest.raises(InvalidRequest) as refused:
        GenerateRequest(chosen, "m", stream=False).conversation()
    assert refused.value.param == "toolConfig.functionCallingConfig.allowedFunctionNames"

"""How much a model of Anthropic's may think, whatever API asked."""

from __future__ import annotations

from typing import Any

import pytest

from edge.translate.messages import thinking
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.neutral.conversation import (
    Conversation,
    Maker,
    Reasoning,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_messages_crossing import asked, written


@pytest.mark.parametrize(
    ("model", "is_adaptive"),
    [
        ("claude-3-7-sonnet-20250219", False),
        ("claude-3-5-haiku-latest", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-1-20250805", False),
        ("claude-sonnet-4-5", False),
        ("claude-haiku-4.5", False),
        ("claude-opus-4-6", True),
        ("claude-sonnet-4.6", True),
        ("claude-opus-4-8", True),
        ("claude-sonnet-5", True),
        ("claude-opus-5-5", True),
        ("claude-fable-5", True),
        ("claude-opus-12-1", True),
        ("demo", True),
    ],
)
def test_the_name_tells_the_generation(model: str, *, is_adaptive: bool) -> None:
    """A date is no version."""
    assert thinking.is_adaptive(model) == is_adaptive


OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"


@pytest.mark.parametrize(
    ("model", "wanted", "expected"),
    [
        (NEW, Thinking(effort="none"), {"thinking": {"type": "disabled"}}),
        (OLD, Thinking(budget_tokens=0), {"thinking": {"type": "disabled"}}),
        (
            NEW,
            Thinking(effort="minimal", shown=True),
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
        (
            NEW,
            Thinking(budget_tokens=9000, shown=False),
            {
                "thinking": {"type": "adaptive", "display": "omitted"},
                "output_config": {"effort": "high"},
            },
        ),
        (
            NEW,
            Thinking(budget_tokens=100_000),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        ),
        (NEW, Thinking(shown=True), {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (OLD, Thinking(effort="low"), {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLD, Thinking(effort="max"), {"thinking": {"type": "enabled", "budget_tokens": 4095}}),
        (OLD, Thinking(budget_tokens=7), {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (OLD, Thinking(shown=True), {}),
    ],
)
def test_how_much_may_be_thought_is_said_in_the_models_words(
    model: str, wanted: Thinking, expected: dict[str, Any]
) -> None:
    """Budgets stay below the limit; effort and budgets stand for each other."""
    found = written(asked(thinking=wanted), model)
    assert {
        name: found[name] for name in ("thinking", "output_config") if name in found
    } == expected


def test_thinking_yields_to_what_the_api_refuses_beside_it() -> None:
    """A small limit, a forced tool, a round of tools that began without thinking."""
    tool, effort = Tool("p", "f"), Thinking(effort="low")
    small = asked(thinking=effort, max_output_tokens=1024)
    forced = asked(thinking=effort, tools=[tool], tool_choice=ToolChoice("required"))
    call, result = ToolCall("p", "c", "f", "{}"), ToolResult("p", "c", "f", [])
    begun = Conversation(
        [Turn("assistant", [call], "p"), Turn("tool", [result], "p")], thinking=effort, tools=[tool]
    )
    for wanted in (small, forced, begun):
        assert "thinking" not in written(wanted, OLD)
    assert "thinking" in written(forced, NEW)
    begun.turns[0].parts.insert(0, Reasoning("p", Maker.ANTHROPIC, "t", signature="s"))
    assert "thinking" in written(begun, OLD)


def test_a_limit_of_ours_leaves_room_for_thinking_or_ends_it() -> None:
    """A budget must stay below it."""
    api, on_terms = MessagesUpstream(), terms()
    on_terms.upstream_model = OLD
    prepared = api.write(asked(thinking=Thinking(effort="low")), on_terms, stream=False)
    assert api.limit(prepared, on_terms, None) == prepared
    assert api.limit(prepared, on_terms, 2000)["thinking"]["budget_tokens"] == 1999
    capped = api.limit(prepared, on_terms, 1000)
    assert capped["max_tokens"] == 1000
    assert "thinking" not in capped

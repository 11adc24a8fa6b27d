"""How much a model of Anthropic's may think, in the words that its generation takes.

Up to version 4.5 thinking has a budget of tokens; from 4.6 on the model decides, and `effort` says
how hard it tries (Claude documentation, extended and adaptive thinking, effort). Names without a
version are taken for newer ones.
"""

from __future__ import annotations

import re
from typing import Any, Final

from edge.translate.messages.native import MIN_BUDGET_TOKENS
from edge.translate.neutral.conversation import Conversation, Reasoning, Thinking, ToolCall
from edge.translate.surface import Terms

ADAPTIVE_SINCE: Final = (4, 6)
BUDGETS: Final = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
"""Tokens that stand for an effort where only budgets are known."""
EFFORT_OF_BUDGET: Final = ((2_048, "low"), (8_192, "medium"), (16_384, "high"), (32_768, "xhigh"))
"""The effort whose budget holds this one; above them all it is `max`."""
_VERSION = re.compile(r"claude(?:-[a-z]+)?-(\d{1,2})(?:[-.](\d{1,2}))?(?![\d])")


def fields_of(conversation: Conversation, terms: Terms, limit: int) -> dict[str, Any]:
    """Return `thinking` and `output_config` of a request, neither where the client said nothing.

    `limit` is the most output tokens, which a budget has to stay below.
    """
    wanted = conversation.thinking
    if wanted is None:
        return {}
    if wanted.effort == "none" or wanted.budget_tokens == 0:
        return {"thinking": {"type": "disabled"}}
    if is_adaptive(terms.upstream_model):
        return _adaptive(wanted)
    if _must_not_think(conversation):
        return {}
    return _budgeted(wanted, limit)


def within(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request whose thinking fits its limit, if need be without thinking."""
    budget = (body.get("thinking") or {}).get("budget_tokens")
    if budget is None or budget < body["max_tokens"]:
        return body
    return {name: value for name, value in body.items() if name != "thinking"}


def is_adaptive(upstream_model: str) -> bool:
    """Say whether a model decides itself how much it thinks."""
    found = _VERSION.search(upstream_model)
    if found is None:
        return True
    return (int(found[1]), int(found[2] or 0)) >= ADAPTIVE_SINCE


def _adaptive(wanted: Thinking) -> dict[str, Any]:
    effort = wanted.effort
    if effort is None and wanted.budget_tokens is not None:
        effort = _effort_of(wanted.budget_tokens)
    written: dict[str, Any] = {"thinking": _shown({"type": "adaptive"}, wanted)}
    if effort is not None:
        written["output_config"] = {"effort": "low" if effort == "minimal" else effort}
    return written


def _budgeted(wanted: Thinking, limit: int) -> dict[str, Any]:
    budget = wanted.budget_tokens
    if budget is None:
        if wanted.effort is None:
            return {}
        budget = BUDGETS[wanted.effort]
    budget = max(MIN_BUDGET_TOKENS, min(budget, limit - 1))
    if budget >= limit:
        return {}
    return {"thinking": _shown({"type": "enabled", "budget_tokens": budget}, wanted)}


def _must_not_think(conversation: Conversation) -> bool:
    """Say whether thinking with a budget would be refused.

    It does not go with a tool that must be called, nor inside a round of tools that began without.
    """
    choice = conversation.tool_choice
    if choice is not None and choice.mode in {"required", "named"}:
        return True
    spoken = [turn for turn in conversation.turns if turn.role == "assistant"]
    if not spoken or conversation.turns[-1].role != "tool":
        return False
    parts = spoken[-1].parts
    called = any(type(part) is ToolCall for part in parts)
    thought = any(type(part) is Reasoning and (part.signature or part.redacted) for part in parts)
    return called and not thought


def _shown(thinking: dict[str, Any], wanted: Thinking) -> dict[str, Any]:
    if wanted.shown is not None:
        thinking["display"] = "summarized" if wanted.shown else "omitted"
    return thinking


def _effort_of(budget: int) -> str:
    return next((effort for most, effort in EFFORT_OF_BUDGET if budget <= most), "max")

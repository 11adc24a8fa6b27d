"""Rounds of tools: where a request goes on with what a model was about.

Thinking with a budget has to begin with the turn: a round that began without it, or whose thinking
another API's model did and Anthropic cannot read, is refused with it (Claude documentation,
extended thinking with tool use). The turn is all that the model said since its user last spoke,
however many calls that took.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def must_not_think(body: Mapping[str, Any]) -> bool:
    """Say whether thinking with a budget is asked for inside a round that has none to go on with.

    What is not as documented is for the provider to refuse.
    """
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return False
    messages = body["messages"]
    if not messages or not _has_results(messages[-1]):
        return False
    said = list(_turn(messages))
    return any(_type(block) == "tool_use" for block in said) and not any(map(_is_thought, said))


def _turn(messages: Sequence[Any]) -> Iterator[Any]:
    """Yield the model's blocks since its user last said something, the latest message first."""
    for message in reversed(messages):
        if message.get("role") == "assistant":
            content = message.get("content")
            yield from content if isinstance(content, list) else ()
        elif message.get("role") == "user" and not _has_results(message):
            return


def _has_results(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(content, list)
        and any(_type(block) == "tool_result" for block in content)
    )


def _is_thought(block: Any) -> bool:
    kind = _type(block)
    return kind == "redacted_thinking" or (kind == "thinking" and bool(block.get("signature")))


def _type(block: Any) -> Any:
    return block.get("type") if isinstance(block, dict) else None

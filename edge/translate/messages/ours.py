"""What stands in a message because we wrote it: no provider of this API gets it back.

An upstream of another API answered an earlier turn. Its thinking has no signature, its sources have
no index of a search, its empty or blank texts say nothing, and ids of its calls carry its own
signatures: Anthropic refuses the first three, and the last are of another maker.
"""

from __future__ import annotations

from operator import is_
from typing import Any

from edge.translate.messages import call_ids

Block = dict[str, Any]


def without_ours(messages: list[Block]) -> list[Block]:
    """Return messages without what is ours, and without the turns that have nothing else."""
    kept = []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list):
            kept.append(message)
            continue
        blocks = content
        if message.get("role") == "assistant":
            blocks = [block for block in content if not is_ours(block)]
        blocks = [_theirs(block) for block in blocks]
        if _is_same(blocks, content):
            kept.append(message)
        elif blocks:
            kept.append({**message, "content": blocks})
    return kept


def is_ours(block: Any) -> bool:
    """Say whether an assistant's block is ours as a whole."""
    if not isinstance(block, dict):
        return False
    if block.get("type") == "thinking":
        return not block.get("signature")
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and not text.strip()


def _theirs(block: Any) -> Any:
    """Return a block as its provider gave it; one that has nothing of ours is the same object."""
    if not isinstance(block, dict):
        return block
    match block.get("type"):
        case "text" if isinstance(given := block.get("citations"), list):
            rest = [one for one in given if not _is_our_source(one)]
            return block if len(rest) == len(given) else {**block, "citations": rest or None}
        case "tool_use":
            return _unsigned(block, "id")
        case "tool_result":
            return _unsigned(block, "tool_use_id")
    return block


def _is_our_source(citation: Any) -> bool:
    # A provider's own has an index of what its search found.
    return (
        isinstance(citation, dict)
        and citation.get("type") == "web_search_result_location"
        and not citation.get("encrypted_index")
    )


def _unsigned(block: Block, name: str) -> Block:
    sent = block.get(name)
    if not isinstance(sent, str):
        return block
    plain, signature = call_ids.split(sent)
    return block if signature is None else {**block, name: plain}


def _is_same(blocks: list[Any], content: list[Any]) -> bool:
    return len(blocks) == len(content) and all(map(is_, blocks, content))

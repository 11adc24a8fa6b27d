"""What embedding providers count: input tokens, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.translate.counts import Contradiction, count
from kit.charge import Dimension, Quantities, quantities


def from_openai(usage: Mapping[str, Any]) -> Quantities | None:
    """Return the quantities of a `usage` object of embeddings, None if it cannot be true.

    Voyage gives the total only; Mistral also counts a completion of 0.
    """
    try:
        total = count(usage, "total_tokens")
        prompt = count(usage, "prompt_tokens")
    except Contradiction:
        return None
    is_named = usage.get("prompt_tokens") is not None
    has_total = usage.get("total_tokens") is not None
    if not (is_named or has_total) or (is_named and has_total and prompt != total):
        return None
    return quantities(input=prompt if is_named else total, requests=1)


def shown(used: Quantities, cost: str | None) -> dict[str, Any]:
    """Return quantities as the `usage` object of OpenAI's embeddings, with their cost."""
    tokens = used[Dimension.INPUT]
    usage: dict[str, Any] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return usage if cost is None else {**usage, "cost": cost}

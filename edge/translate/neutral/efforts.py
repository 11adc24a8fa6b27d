"""Budgets of reasoning tokens as efforts, for APIs that have no budgets."""

from __future__ import annotations

from typing import Final

EFFORT_OF_BUDGET: Final = ((0, "none"), (1024, "minimal"), (4096, "low"), (16_384, "medium"))
"""The largest effort that usually stays within a budget."""


def effort_of(budget_tokens: int | None) -> str | None:
    """Return the effort of a budget, None where there is none."""
    if budget_tokens is None:
        return None
    for most, effort in EFFORT_OF_BUDGET:
        if budget_tokens <= most:
            return effort
    return "high"

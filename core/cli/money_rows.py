"""How commands show amounts, enum words and entries: decimal strings and lower-case words."""

from __future__ import annotations

from typing import Any

from kit.cli_calls import dollars


def balance_row(balance: Any) -> dict[str, str]:
    """Return a balance: total = held + available + frozen."""
    names = ("total", "held", "available", "frozen", "debt")
    return {name: dollars(getattr(balance, name)) for name in names}

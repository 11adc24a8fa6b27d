"""How commands show amounts, enum words and entries: decimal strings and lower-case words."""

from __future__ import annotations

from typing import Any


def dollars(money: Any) -> str:
    """Return an amount message as a decimal string of US dollars, exact to the nano-dollar."""
    from kit.money import format_dollars  # noqa: PLC0415 - commands start quickly

    return format_dollars(money.amount_nanos)


def word(message: Any, field: str) -> str | None:
    """Return an enum field as a lower-case word without its prefix; None if it is unspecified."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    number = getattr(message, field)
    if number == 0:
        return None
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix).lower() if known else str(number)


def balance_row(balance: Any) -> dict[str, str]:
    """Return a balance: total = held + available + frozen."""
    names = ("total", "held", "available", "frozen", "debt")
    return {name: dollars(getattr(balance, name)) for name in names}

"""Price versions by number. They are immutable, so what was read once stays right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from core.db.database import Transaction
from kit.charge import Price, PriceTier
from kit.clock import to_micros

KEPT_MAX: Final = 50_000
_READ: Final = """
SELECT v.number, v.model_number, v.lane, v.effective_from, t.above_context_tokens, t.rates
  FROM price_version AS v JOIN price_tier AS t ON t.price_version = v.number
 WHERE v.number = ANY(CAST(:numbers AS integer[]))
 ORDER BY v.number, t.above_context_tokens
"""


_ALL: Final = "SELECT number FROM price_version"


class PriceBook:
    """The price versions that this process has needed so far."""

    def __init__(self) -> None:
        """Begin empty."""
        self._known: dict[int, Price] = {}

    def missing(self, numbers: Iterable[int]) -> set[int]:
        """Return which of the numbers have not been read yet."""
        return set(numbers) - self._known.keys()

    async def load(self, tx: Transaction, numbers: Iterable[int]) -> None:
        """Read price versions; numbers that do not exist stay unknown."""
        if len(self._known) > KEPT_MAX:
            self._known.clear()
        self._known.update(await read_prices(tx, numbers))

    def get(self, number: int) -> Price | None:
        """Return a price version that was read."""
        return self._known.get(number)


async def read_all_prices(tx: Transaction) -> dict[int, Price]:
    """Read all price versions, those that are not in force any more or not yet too."""
    return await read_prices(tx, [row.number for row in await tx.all(_ALL)])


async def read_prices(tx: Transaction, numbers: Iterable[int]) -> dict[int, Price]:
    """Read price versions with their tiers in ascending order."""
    rows = await tx.all(_READ, numbers=sorted(numbers))
    tiers: dict[int, list[PriceTier]] = {}
    for row in rows:
        tier = PriceTier(row.above_context_tokens, tuple(row.rates))
        tiers.setdefault(row.number, []).append(tier)
    return {
        row.number: Price(
            number=row.number,
            model_number=row.model_number,
            lane=row.lane,
            effective_from_micros=to_micros(row.effective_from),
            tiers=tuple(tiers[row.number]),
        )
        for row in rows
    }

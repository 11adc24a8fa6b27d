"""Computes charges a second time, in SQL, and compares the totals of all books.

`core/metering/proofs.py` computes each record's charge with the code that charged it. This says the
same rule in another language: what both got wrong alike would have to be wrong twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from core.db.database import Transaction
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.metering.proofs import QUANTITY_COLUMNS
from kit.charge import CONTEXT_DIMENSIONS, UNITS_PER_PRICE

_QUANTITIES: Final = ", ".join(QUANTITY_COLUMNS)
_CONTEXT: Final = " + ".join(f"r.{QUANTITY_COLUMNS[place]}" for place in CONTEXT_DIMENSIONS)
_EXACT: Final = " + ".join(
    f"CAST(r.{name} AS numeric) * tier.rates[{place}]"
    for place, name in enumerate(QUANTITY_COLUMNS, start=1)
)
# Half-even, which PostgreSQL's own rounding of numbers is not.
_PRICES: Final = f"""
SELECT price_version, count(*) AS records, sum(charge_nanos) AS charged,
       sum(waived_nanos) AS waived,
       sum(div(exact, {UNITS_PER_PRICE})
           + CASE WHEN mod(exact, {UNITS_PER_PRICE}) * 2
                       + mod(div(exact, {UNITS_PER_PRICE}), 2) > {UNITS_PER_PRICE}
                  THEN 1 ELSE 0 END) AS figure
  FROM (SELECT r.price_version, r.charge_nanos, r.waived_nanos, {_EXACT} AS exact
          FROM (SELECT price_version, charge_nanos, waived_nanos, {_QUANTITIES} FROM usage_record
                UNION ALL
                SELECT price_version, charge_nanos, waived_nanos, {_QUANTITIES} FROM usage_late)
               AS r
          LEFT JOIN LATERAL (
               SELECT t.rates FROM price_tier AS t
                WHERE t.price_version = r.price_version
                  AND (t.above_context_tokens = 0 OR {_CONTEXT} > t.above_context_tokens)
                ORDER BY t.above_context_tokens DESC LIMIT 1) AS tier ON true) AS priced
 GROUP BY price_version ORDER BY price_version
"""  # noqa: S608 - constants
_REVENUE: Final = """
SELECT (SELECT coalesce(sum(charge_nanos), 0) FROM usage_hourly) AS charged,
       (SELECT coalesce(sum(amount), 0) FROM ledger_entry
         WHERE workspace_id IS NULL AND account = 'rev.usage') AS posted
"""


@dataclass(frozen=True, slots=True)
class PriceTotal:
    """What the records of one price version were charged, computed anew."""

    price_version: int
    records: int
    charged: int
    waived: int


@dataclass(slots=True)
class Totals:
    """Compares the totals; remembers those of each price version for the report."""

    prices: list[PriceTotal] = field(default_factory=list)

    async def check(
        self,
        tx: Transaction,
        workspace_id: bytes | None,
        tally: Tally,  # noqa: ARG002 - the port's signature
    ) -> AsyncIterator[Finding]:
        """Yield price versions whose charges are others, and usage that is not what was posted.

        Totals are of all workspaces: of a single one nothing is compared.
        """
        self.prices.clear()
        if workspace_id is not None:
            return
        async for row in stream(tx, "prices", _PRICES, {}):
            version = row["price_version"]
            charged, waived = int(row["charged"]), int(row["waived"])
            self.prices.append(PriceTotal(version, row["records"], charged, waived))
            figure = None if row["figure"] is None else int(row["figure"])
            for finding in differing("price_total", f"price:{version}", figure, charged + waived):
                yield finding
        for sums in await tx.all(_REVENUE):
            for finding in differing("usage_total", "rev.usage", sums.charged, sums.posted):
                yield finding

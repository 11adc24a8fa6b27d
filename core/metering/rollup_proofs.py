"""Compares the hourly sums with the records that they are the sums of.

Only of months that are not in the archive alone: of older ones the sums are all that is here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Any, Final

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.proofs.finding import Finding, stream
from core.ledger.store import optional_uuid
from core.metering.partitions import id_range, read_archived_before
from kit.ids import format_id
from oneapi.common.v1.quantities_pb2 import Quantities

_SUMS: Final = ", ".join(
    f"CAST(sum({each.name}) AS bigint)" for each in Quantities.DESCRIPTOR.fields
)
_LONG_AGO: Final = date(1970, 1, 1)
_FIGURES: Final = ("requests", "failed", "quantities", "charge", "waived")
# An id's first twelve hex digits are its milliseconds, as `hour_of` reads them.
_DIFFERING: Final = f"""
WITH counted AS (
    SELECT workspace_id,
           CAST(CAST('x' || left(replace(CAST(id AS text), '-', ''), 12) AS bit(48)) AS bigint)
               / 3600000 AS hour,
           key_id, model_number, served_lane AS lane, count(*) AS requests,
           count(*) FILTER (WHERE outcome IN (2, 4)) AS failed, ARRAY[{_SUMS}] AS quantities,
           CAST(sum(charge_nanos) AS bigint) AS charge, CAST(sum(waived_nanos) AS bigint) AS waived
      FROM usage_record
     WHERE id >= %(first)s
       AND (%(workspace)s::uuid IS NULL OR workspace_id = %(workspace)s::uuid)
     GROUP BY 1, 2, 3, 4, 5
), summed AS (
    SELECT workspace_id, CAST(extract(epoch FROM hour) AS bigint) / 3600 AS hour, key_id,
           model_number, lane, requests, failed_requests AS failed, quantities,
           charge_nanos AS charge, waived_nanos AS waived
      FROM usage_hourly
     WHERE hour >= %(month)s
       AND (%(workspace)s::uuid IS NULL OR workspace_id = %(workspace)s::uuid)
)
SELECT key_id, hour, model_number, lane,
       {", ".join(f"c.{name} AS counted_{name}, s.{name} AS summed_{name}" for name in _FIGURES)}
  FROM counted AS c FULL JOIN summed AS s
       USING (workspace_id, hour, key_id, model_number, lane)
 WHERE ({", ".join(f"c.{name}" for name in _FIGURES)})
       IS DISTINCT FROM ({", ".join(f"s.{name}" for name in _FIGURES)})
"""  # noqa: S608 - constants


async def check_rollups(tx: Transaction, workspace_id: bytes | None) -> AsyncIterator[Finding]:
    """Yield each hour of a key, model and lane whose sums are not those of its records."""
    month = await read_archived_before(tx) or _LONG_AGO
    scope = {
        "first": to_uuid(id_range(month)[0]),
        "month": month,
        "workspace": optional_uuid(workspace_id),
    }
    async for row in stream(tx, "rollups", _DIFFERING, scope):
        place = (row["hour"], row["model_number"], row["lane"])
        name = ":".join((format_id("key", row["key_id"].bytes), *map(str, place)))
        yield Finding("rollup_sums", name, _figures(row, "counted"), _figures(row, "summed"))


def _figures(row: Mapping[str, Any], side: str) -> str:
    """Return requests, failures, quantities, charge and waived amount, or nothing if not there."""
    if row[f"{side}_requests"] is None:
        return ""
    values = (row[f"{side}_{name}"] for name in _FIGURES)
    return "/".join(
        ",".join(map(str, value)) if isinstance(value, list) else str(value) for value in values
    )

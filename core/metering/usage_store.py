"""All SQL that reads usage records and sums. A record's time is that of its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.paging import LAST_ID
from core.db.values import to_uuid
from core.ledger.store import optional_uuid
from core.metering.copy_row import COLUMNS
from core.metering.model import hour_of
from core.metering.partitions import id_range, read_archived_before
from core.metering.proofs import QUANTITY_COLUMNS
from kit.clock import to_micros
from kit.ids import uuid7_floor

HOUR_SECONDS: Final = 3_600
_MS_MAX: Final = 2**48 - 1
_FIRST_ID: Final = bytes(16)
_SCOPE: Final = """
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
"""
_USAGE: Final = """
SELECT u.*, m.public_id AS model, coalesce(p.name, '') AS upstream
  FROM ({}) AS u
  LEFT JOIN model AS m ON m.number = u.model_number
  LEFT JOIN upstream AS p ON p.number = u.upstream_number
 ORDER BY {}
"""
# Each record is read here or from the archive, never from both: of published months, and of late
# records that are in a file, the rows may still be there.
_IS_HOT: Final = {
    "usage_record": "usage_record.id >= CAST(:hot AS uuid)",
    "usage_late": "NOT EXISTS (SELECT 1 FROM usage_late_archived AS a WHERE a.id = usage_late.id)",
}
_BOTH: Final = " UNION ALL ".join(
    f"(SELECT {COLUMNS} FROM {table} WHERE {is_hot} AND {{condition}}{{order}})"  # noqa: S608 - constants
    for table, is_hot in _IS_HOT.items()
)
_NEWEST: Final = " ORDER BY id DESC LIMIT :limit"
_GET: Final = _USAGE.format(_BOTH.format(condition="id = :id", order=""), "u.id")
_LIST: Final = (
    _USAGE.format(
        _BOTH.format(
            condition="id >= :first AND id < :end"
            " AND (CAST(:key AS uuid) IS NULL OR key_id = CAST(:key AS uuid))" + _SCOPE,
            order=_NEWEST,
        ),
        "u.id DESC",
    )
    + " LIMIT :limit"
)
_TAIL: Final = _USAGE.format(
    _BOTH.format(
        condition="settlement_id >= :since" + _SCOPE, order=" ORDER BY settlement_id LIMIT :limit"
    ),
    "u.settlement_id, u.id",
)
_FIGURES: Final = (
    "record_count",
    "failed_count",
    *QUANTITY_COLUMNS,
    "charge_nanos",
    "waived_nanos",
)
_RECORD_SUMS: Final = ", ".join(f"sum({name}) AS {name}" for name in _FIGURES[2:])
_HOURLY_SUMS: Final = ", ".join(
    f"sum(quantities[{place}]) AS {name}" for place, name in enumerate(QUANTITY_COLUMNS, start=1)
)
_SUM_RECORDS: Final = {
    table: f"""
SELECT model_number, served_lane AS lane, count(*) AS record_count,
       count(*) FILTER (WHERE outcome IN (2, 4)) AS failed_count, {_RECORD_SUMS}
  FROM {table} WHERE id >= :first AND id < :end AND {is_hot} {_SCOPE}
 GROUP BY model_number, served_lane
"""  # noqa: S608 - constants
    for table, is_hot in _IS_HOT.items()
}
_SUM_HOURS: Final = f"""
SELECT model_number, lane, sum(requests) AS record_count,
       sum(failed_requests) AS failed_count, {_HOURLY_SUMS},
       sum(charge_nanos) AS charge_nanos, sum(waived_nanos) AS waived_nanos
  FROM usage_hourly WHERE hour >= :start AND hour < :stop AND hour >= :hot_hour {_SCOPE}
 GROUP BY model_number, lane
"""  # noqa: S608 - constants
# Late records are in no hourly sum: their hours may have been told and archived by then.
_TOTALS: Final = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in _FIGURES)
_TOGETHER: Final = f"""
SELECT model_number, lane, {_TOTALS}
  FROM ({{}} UNION ALL {_SUM_RECORDS["usage_late"]}) AS part GROUP BY model_number, lane
"""  # noqa: S608 - constants
_SUMS: Final = """
SELECT s.*, coalesce(m.public_id, '') AS model FROM ({}) AS s
  LEFT JOIN model AS m ON m.number = s.model_number ORDER BY model, s.lane
"""
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UsageRange:
    """Which usage: of a workspace or all, of a time range that may be open at either end."""

    workspace_id: bytes | None
    started_from: datetime | None
    started_before: datetime | None

    @property
    def ids(self) -> tuple[bytes, bytes]:
        """Return the range of ids: from the first one to below the second."""
        first = _FIRST_ID if self.started_from is None else _floor(self.started_from)
        return first, LAST_ID if self.started_before is None else _floor(self.started_before)

    @property
    def is_whole_hours(self) -> bool:
        """Say whether the hourly sums answer for the range exactly."""
        bounds = (self.started_from, self.started_before)
        return all(each is None or to_micros(each) % (HOUR_SECONDS * 10**6) == 0 for each in bounds)


async def get_usage(tx: Transaction, request_id: bytes) -> Row[Any] | None:
    """Read one usage record, late ones too."""
    return await tx.one(_GET, id=to_uuid(request_id), hot=to_uuid(await _hot_floor(tx)))


async def list_usage(
    tx: Transaction, wanted: UsageRange, *, key_id: bytes | None, before: bytes, limit: int
) -> list[Row[Any]]:
    """Read usage records with ids below `before`, newest first."""
    first, end = wanted.ids
    return await tx.all(
        _LIST,
        workspace=optional_uuid(wanted.workspace_id),
        key=optional_uuid(key_id),
        first=to_uuid(first),
        end=to_uuid(min(end, before)),
        hot=to_uuid(await _hot_floor(tx)),
        limit=limit,
    )


async def settled_since(
    tx: Transaction, workspace_id: bytes | None, since: bytes, limit: int
) -> list[Row[Any]]:
    """Read records by when they were settled: a long request's id is older than its record."""
    return await tx.all(
        _TAIL,
        workspace=optional_uuid(workspace_id),
        since=to_uuid(since),
        hot=to_uuid(await _hot_floor(tx)),
        limit=limit,
    )


async def sum_usage(tx: Transaction, wanted: UsageRange) -> list[Row[Any]]:
    """Sum usage by model and lane, late records too: from the hourly sums where they are exact."""
    scope: dict[str, Any] = {"workspace": optional_uuid(wanted.workspace_id)}
    scope["first"], scope["end"] = map(to_uuid, wanted.ids)
    scope["hot"] = to_uuid(await _hot_floor(tx))
    part = _SUM_RECORDS["usage_record"]
    if wanted.is_whole_hours:
        part = _SUM_HOURS
        scope["start"] = wanted.started_from or _LONG_AGO
        scope["stop"] = wanted.started_before or _FAR_AHEAD
        month = await read_archived_before(tx)
        scope["hot_hour"] = _LONG_AGO if month is None else hour_of(id_range(month)[0])
    return await tx.all(_SUMS.format(_TOGETHER.format(part)), **scope)


async def _hot_floor(tx: Transaction) -> bytes:
    """Return the first id that is read from the hot store."""
    month = await read_archived_before(tx)
    return _FIRST_ID if month is None else id_range(month)[0]


def _floor(moment: datetime) -> bytes:
    """Return the first id at or after a moment; ids count milliseconds."""
    unix_ms = -(-to_micros(moment) // 1_000)
    return uuid7_floor(min(max(unix_ms, 0), _MS_MAX))

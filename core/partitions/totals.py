"""What records of a month add up to, by SQL over the hot store, and what the ledger says to that.

Nothing here looks at what was exported: these figures are what exported files are held against.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from core.db.database import Transaction
from core.db.values import to_uuid, uuid_array
from core.ledger.model import LATE_WAIVER
from core.ledger.proofs.finding import stream
from core.ledger.settlement import SETTLEMENT
from core.ledger.store import optional_uuid
from core.metering.partitions import id_range
from core.metering.proofs import QUANTITY_COLUMNS
from core.partitions.model import Totals

IDS_AT_ONCE: Final = 65_536
"""A mebibyte of ids: what PostgreSQL puts together at once."""
COUNTED_MAX: Final = 50_000
"""Some 25 MB."""
_LONG: Final = (
    "SELECT set_config('statement_timeout', '600000', true),"
    " set_config('idle_in_transaction_session_timeout', '600000', true)"
)
_SUMS: Final = ", ".join(
    f"CAST(sum({name}) AS bigint) AS {name}"
    for name in (*QUANTITY_COLUMNS, "charge_nanos", "waived_nanos")
)
_OF_MONTH: Final = "id >= :first AND id < :end"
_NO_FILE: Final = "NOT EXISTS (SELECT 1 FROM usage_late_archived AS a WHERE a.id = r.id)"
_ROWS: Final = {
    False: f"usage_record AS r WHERE {_OF_MONTH}",
    True: f"usage_late AS r WHERE {_OF_MONTH} AND {_NO_FILE}",
}
_RECORDS: Final = {
    late: f"""
SELECT workspace_id, count(*) AS records, {_SUMS} FROM {rows}
   AND (CAST(:after AS uuid) IS NULL OR workspace_id > CAST(:after AS uuid))
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
 GROUP BY workspace_id ORDER BY workspace_id
"""  # noqa: S608 - constants
    for late, rows in _ROWS.items()
}
_COUNT: Final = f"SELECT count(*) AS n FROM {_ROWS[False]}"  # noqa: S608 - constants
_LATE_BY_ID: Final = f"""
SELECT workspace_id, count(*) AS records, {_SUMS} FROM {_ROWS[True]}
   AND workspace_id = :workspace AND id = ANY(CAST(:ids AS uuid[])) GROUP BY workspace_id
"""  # noqa: S608 - constants
_IDS: Final = {
    late: f"""
SELECT string_agg(uuid_send(id), '' ORDER BY id) AS ids
  FROM (SELECT id FROM {rows} AND workspace_id = :workspace AND id > :last
         ORDER BY id LIMIT :limit) AS part
"""  # noqa: S608 - constants
    for late, rows in _ROWS.items()
}
# A settlement without a record is a lost record: so the ledger says which workspaces there are.
_LEDGER: Final = """
SELECT t.workspace_id, CAST(sum(t.record_count) AS bigint) AS records,
       CAST(coalesce(sum(e.amount), 0) AS bigint) AS charges
  FROM ledger_txn AS t LEFT JOIN LATERAL (
       SELECT sum(amount) AS amount FROM ledger_entry
        WHERE txn_id = t.id AND account = 'rev.usage') AS e ON true
 WHERE t.usage_month = :month AND t.records_root IS NOT NULL AND t.kind = :kind
   AND (CAST(:after AS uuid) IS NULL OR t.workspace_id > CAST(:after AS uuid))
   AND (CAST(:workspace AS uuid) IS NULL OR t.workspace_id = CAST(:workspace AS uuid))
 GROUP BY t.workspace_id ORDER BY t.workspace_id
"""
_SETTLEMENTS: Final = """
SELECT t.id, coalesce(l.sequence, 0) AS sequence, coalesce(l.hash, '') AS hash, t.records_root,
       t.record_count
  FROM ledger_txn AS t LEFT JOIN wallet_log AS l ON l.txn_id = t.id
 WHERE t.usage_month = %(month)s AND t.records_root IS NOT NULL AND t.kind = %(kind)s
   AND t.workspace_id = %(workspace)s
   AND (t.kind <> 'late_waiver' OR EXISTS (
        SELECT 1 FROM usage_late AS r WHERE r.settlement_id = t.id AND NOT EXISTS (
               SELECT 1 FROM usage_late_archived AS a WHERE a.id = r.id)))
 ORDER BY sequence, t.id
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settlement of the month: its place in the wallet's chain and its records' root."""

    transaction_id: bytes
    sequence: int
    hash: bytes
    records_root: bytes
    records: int


class Counted:
    """Totals of frozen months that this process has counted: what is frozen is counted once.

    Nothing can change such a month's rows, nor what was settled of it. A new process counts anew.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[date, bytes], Totals] = {}

    def keep(self, month: date, totals: Totals) -> None:
        """Remember what a workspace's frozen month adds up to."""
        if len(self._known) >= COUNTED_MAX:
            self._known.clear()
        self._known[month, totals.workspace_id] = totals

    def find(self, month: date, workspace_id: bytes) -> Totals | None:
        """Return what was counted."""
        return self._known.get((month, workspace_id))


async def take_time(tx: Transaction) -> None:
    """Let this transaction look at a whole month, and wait for who reads its answers."""
    await tx.one(_LONG)


async def all_totals(
    tx: Transaction, month: date, *, after: bytes | None = None, late: bool = False
) -> AsyncIterator[Totals]:
    """Yield the totals of each workspace, in the order of their ids.

    With `late` of late records that are in no file yet; the ledger charged nothing for those.
    """
    sums = {row.workspace_id.bytes: row for row in await _sums(tx, month, late=late, after=after)}
    ledger = {} if late else await _ledger(tx, month, after=after)
    for workspace_id in sorted(sums.keys() | ledger.keys()):
        totals = await _with_ids(tx, month, _totals(workspace_id, sums.get(workspace_id)), late)
        yield _with_ledger(totals, ledger.get(workspace_id), late=late)


async def totals_of(tx: Transaction, month: date, workspace_id: bytes) -> Totals:
    """Return the totals of one workspace's records in the hot store."""
    rows = await _sums(tx, month, late=False, workspace_id=workspace_id)
    totals = _totals(workspace_id, rows[0] if rows else None)
    ledger = await _ledger(tx, month, workspace_id=workspace_id)
    totals = await _with_ids(tx, month, totals, late=False)
    return _with_ledger(totals, ledger.get(workspace_id), late=False)


async def late_totals(
    tx: Transaction, month: date, workspace_id: bytes, ids: Sequence[bytes]
) -> Totals:
    """Return the sums of these late records, as far as they are the workspace's and in no file."""
    row = await tx.one(
        _LATE_BY_ID,
        **_range(month),
        workspace=to_uuid(workspace_id),
        ids=uuid_array(ids),
    )
    return _totals(workspace_id, row)


async def settlements(
    tx: Transaction, month: date, workspace_id: bytes, *, late: bool
) -> AsyncIterator[Settlement]:
    """Yield the settlements of a workspace's month in the order of the wallet's log.

    With `late` the waivers whose records are in no file yet.
    """
    scope = {
        "month": month,
        "workspace": to_uuid(workspace_id),
        "kind": LATE_WAIVER if late else SETTLEMENT,
    }
    async for row in stream(tx, "settlements", _SETTLEMENTS, scope):
        yield Settlement(
            row["id"].bytes, row["sequence"], row["hash"], row["records_root"], row["record_count"]
        )


async def count_records(tx: Transaction, month: date) -> tuple[int, int]:
    """Return how many records of a month the hot store has, and how many were settled."""
    hot = await tx.one(_COUNT, **_range(month))
    settled = await _ledger(tx, month)
    return (0 if hot is None else hot.n), sum(row.records for row in settled.values())


async def _sums(
    tx: Transaction,
    month: date,
    *,
    late: bool,
    after: bytes | None = None,
    workspace_id: bytes | None = None,
) -> Sequence[Any]:
    return await tx.all(
        _RECORDS[late],
        **_range(month),
        after=optional_uuid(after),
        workspace=optional_uuid(workspace_id),
    )


async def _ledger(
    tx: Transaction, month: date, *, after: bytes | None = None, workspace_id: bytes | None = None
) -> dict[bytes, Any]:
    rows = await tx.all(
        _LEDGER,
        month=month,
        kind=SETTLEMENT,
        after=optional_uuid(after),
        workspace=optional_uuid(workspace_id),
    )
    return {row.workspace_id.bytes: row for row in rows}


async def _with_ids(tx: Transaction, month: date, totals: Totals, late: bool) -> Totals:  # noqa: FBT001 - told by name everywhere else
    """Hash the ids in their order, a part at a time, and keep the first and the last."""
    digest, first, last = hashlib.sha256(), b"", b""
    while True:
        row = await tx.one(
            _IDS[late],
            **_range(month),
            workspace=to_uuid(totals.workspace_id),
            last=to_uuid(last or bytes(16)),
            limit=IDS_AT_ONCE,
        )
        ids = b"" if row is None or row.ids is None else bytes(row.ids)
        digest.update(ids)
        first, last = first or ids[:16], ids[-16:] or last
        if len(ids) < 16 * IDS_AT_ONCE:
            break
    return replace(totals, first_id=first, last_id=last, ids_hash=digest.digest())


def _totals(workspace_id: bytes, row: Any | None) -> Totals:
    if row is None:
        return Totals(workspace_id)
    return Totals(
        workspace_id=workspace_id,
        records=row.records,
        quantities=tuple(getattr(row, name) for name in QUANTITY_COLUMNS),
        charges=row.charge_nanos,
        waived=row.waived_nanos,
    )


def _with_ledger(totals: Totals, row: Any | None, *, late: bool) -> Totals:
    if late:
        return replace(totals, ledger_records=totals.records)
    if row is None:
        return totals
    return replace(totals, ledger_records=row.records, ledger_charges=row.charges)


def _range(month: date) -> dict[str, Any]:
    first, end = id_range(month)
    return {"first": to_uuid(first), "end": to_uuid(end)}

"""All SQL of corrections. Writers hold the wallet's row lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.model import Entry
from core.ledger.store import optional_bytes
from kit.clock import from_micros
from kit.ids import unix_ms_of

_CHARGE: Final = """
SELECT workspace_id, charge_nanos, settlement_id FROM usage_record WHERE id = :id
"""
_CHARGE_CORRECTED: Final = """
SELECT workspace_id, amount AS charge_nanos, settlement_id FROM charge_correction
 WHERE request_id = :request_id
"""
_ARCHIVED: Final = """
SELECT 1 FROM archive_month
 WHERE month = date_trunc('month', CAST(:moment AS timestamptz) AT TIME ZONE 'UTC')
   AND published_at IS NOT NULL
"""
_INSERT: Final = """
INSERT INTO charge_correction (txn_id, workspace_id, request_id, record_id, settlement_id, amount,
                               reason)
VALUES (:txn_id, :workspace_id, :request_id, :record_id, :settlement_id, :amount, :reason)
ON CONFLICT (request_id) DO NOTHING
"""
_FIND: Final = """
SELECT txn_id, request_id, record_id, settlement_id, amount, reason FROM charge_correction
 WHERE request_id = :request_id
"""
_CORRECTED: Final = """
SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM charge_correction
 WHERE record_id = :record_id
"""
_ENTRIES: Final = """
SELECT e.txn_id, e.account, e.amount, e.workspace_id, e.grant_id
  FROM ledger_entry AS e
 WHERE e.txn_id = :settlement_id
    OR e.txn_id IN (SELECT txn_id FROM charge_correction WHERE settlement_id = :settlement_id)
 ORDER BY e.txn_id, e.position
"""


@dataclass(frozen=True, slots=True)
class Charged:
    """What a usage record was charged, and by which settlement."""

    workspace_id: bytes
    amount: int
    settlement_id: bytes


@dataclass(frozen=True, slots=True)
class Correction:
    """A part of a record's charge that was given back."""

    txn_id: bytes
    request_id: str
    record_id: bytes
    settlement_id: bytes
    amount: int
    reason: int


async def read_charge(tx: Transaction, record_id: bytes) -> Charged | None:
    """Read what a hot usage record was charged."""
    return _charged(await tx.one(_CHARGE, id=to_uuid(record_id)))


async def read_corrected(tx: Transaction, request_id: str) -> Charged | None:
    """Read whose charge a request id has given back; the amount is that of the correction."""
    return _charged(await tx.one(_CHARGE_CORRECTED, request_id=request_id))


async def is_archived(tx: Transaction, record_id: bytes) -> bool:
    """Say whether the month of a record's id is in the archive."""
    moment = from_micros(unix_ms_of(record_id) * 1_000)
    return await tx.one(_ARCHIVED, moment=moment) is not None


def _charged(row: Any | None) -> Charged | None:
    if row is None:
        return None
    return Charged(row.workspace_id.bytes, row.charge_nanos, row.settlement_id.bytes)


async def find(tx: Transaction, request_id: str) -> Correction | None:
    """Find a correction by its caller's request id."""
    row = await tx.one(_FIND, request_id=request_id)
    if row is None:
        return None
    return Correction(
        row.txn_id.bytes,
        row.request_id,
        row.record_id.bytes,
        row.settlement_id.bytes,
        row.amount,
        row.reason,
    )


async def insert(tx: Transaction, made: Correction, workspace_id: bytes) -> bool:
    """Write a correction; False if its request id is taken."""
    count = await tx.run(
        _INSERT,
        txn_id=to_uuid(made.txn_id),
        workspace_id=to_uuid(workspace_id),
        request_id=made.request_id,
        record_id=to_uuid(made.record_id),
        settlement_id=to_uuid(made.settlement_id),
        amount=made.amount,
        reason=made.reason,
    )
    return count == 1


async def corrected(tx: Transaction, record_id: bytes) -> int:
    """Sum up what was given back of a record."""
    row = await tx.one(_CORRECTED, record_id=to_uuid(record_id))
    return 0 if row is None else int(row.total)


async def entries_of_settlement(
    tx: Transaction, settlement_id: bytes
) -> tuple[list[Entry], list[Entry]]:
    """Read the entries of a settlement, and those of all corrections of its records."""
    settled: list[Entry] = []
    others: list[Entry] = []
    for row in await tx.all(_ENTRIES, settlement_id=to_uuid(settlement_id)):
        entry = Entry(
            row.account, row.amount, optional_bytes(row.workspace_id), optional_bytes(row.grant_id)
        )
        (settled if row.txn_id.bytes == settlement_id else others).append(entry)
    return settled, others

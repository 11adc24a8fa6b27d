"""What a proof reports, and what the records' side has to offer to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from psycopg.rows import dict_row

from core.db.database import Transaction

ROWS_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not add up: which check, of which object, as numbers or hashes."""

    check: str
    object_id: str
    expected: str
    found: str


@dataclass(slots=True)
class Tally:
    """What was looked at."""

    wallets: int = 0
    transactions: int = 0
    entries: int = 0
    records: int = 0
    findings: int = 0
    charges: int = 0
    archived_settlements: int = 0
    archived_records: int = 0


class RecordProofs(Protocol):
    """Checks the usage records that settlements charge; the ledger does not know them."""

    def check(
        self, tx: Transaction, workspace_id: bytes | None, tally: Tally
    ) -> AsyncIterator[Finding]:
        """Yield what does not add up, of one workspace or of all."""


def differing(check: str, object_id: str, expected: object, found: object) -> list[Finding]:
    """Return a finding if two values differ."""
    if expected == found:
        return []
    return [Finding(check, object_id, _word(expected), _word(found))]


async def stream(
    tx: Transaction, name: str, sql: str, parameters: Mapping[str, Any] | Sequence[Any]
) -> AsyncIterator[dict[str, Any]]:
    """Read rows through a server-side cursor, so that memory stays bounded."""
    async with tx.connection.cursor(name=name, row_factory=dict_row) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(sql, parameters)
        async for row in cursor:
            yield row


def _word(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)

"""All SQL of signed roots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction

_COLUMNS: Final = "day, root, wallets, key_id, signature, created_at"
_INSERT: Final = """
INSERT INTO signed_root (day, heads, root, wallets, key_id, signature, created_at)
VALUES (:day, :heads, :root, :wallets, :key_id, :signature, :created_at)
ON CONFLICT (day) DO NOTHING
"""
_LIST: Final = f"""
SELECT {_COLUMNS} FROM signed_root
 WHERE CAST(:before AS date) IS NULL OR day < CAST(:before AS date)
 ORDER BY day DESC LIMIT :limit
"""  # noqa: S608 - constant
_WITH_HEADS: Final = f"""
SELECT {_COLUMNS}, heads FROM signed_root
 WHERE CAST(:day AS date) IS NULL OR day = CAST(:day AS date)
 ORDER BY day DESC LIMIT 1
"""  # noqa: S608 - constant


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """The root over the heads of all wallets as they stood on a day (UTC), signed."""

    day: date
    root: bytes
    wallets: int
    key_id: str
    signature: bytes
    created_at: datetime


async def read_heads(tx: Transaction) -> list[tuple[bytes, int, bytes]]:
    """Read workspace, sequence and hash of all wallets' heads, in the order of workspace ids."""
    rows = await tx.all(
        "SELECT workspace_id, sequence, head_hash FROM wallet ORDER BY workspace_id"
    )
    return [(row.workspace_id.bytes, row.sequence, row.head_hash) for row in rows]


async def insert(tx: Transaction, signed: SignedRoot, heads: bytes) -> bool:
    """Write the root of a day with its leaves; False if that day has one."""
    count = await tx.run(
        _INSERT,
        day=signed.day,
        heads=heads,
        root=signed.root,
        wallets=signed.wallets,
        key_id=signed.key_id,
        signature=signed.signature,
        created_at=signed.created_at,
    )
    return count == 1


async def find(tx: Transaction, day: date | None) -> SignedRoot | None:
    """Read the root of a day, or the newest."""
    row = await tx.one(_WITH_HEADS, day=day)
    return None if row is None else _root_of(row)


async def find_with_heads(tx: Transaction, day: date | None) -> tuple[SignedRoot, bytes] | None:
    """Read the root of a day, or the newest, with its leaves."""
    row = await tx.one(_WITH_HEADS, day=day)
    return None if row is None else (_root_of(row), row.heads)


async def list_roots(tx: Transaction, before: date | None, limit: int) -> list[SignedRoot]:
    """Read roots of days before one, newest first."""
    return [_root_of(row) for row in await tx.all(_LIST, before=before, limit=limit)]


def _root_of(row: Row[Any]) -> SignedRoot:
    return SignedRoot(
        day=row.day,
        root=row.root,
        wallets=row.wallets,
        key_id=row.key_id,
        signature=row.signature,
        created_at=row.created_at,
    )

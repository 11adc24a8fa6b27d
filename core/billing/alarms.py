"""Alarms about money from outside: written with what they tell of, ids and numbers only."""

from __future__ import annotations

from typing import Final

from core.audit import Act
from core.db.database import Transaction
from core.db.values import to_uuid

_INSERT: Final = """
INSERT INTO alarm (id, occurred_at, kind, object_id, expected, found)
VALUES (:id, :now, :kind, :object, :expected, :found)
"""


async def raise_alarm(
    tx: Transaction,
    act: Act,
    kind: str,
    object_id: str,
    *,
    expected: int | None = None,
    found: int | None = None,
) -> None:
    """Write an alarm; `kit.alarm_meanings` says what each kind means."""
    await tx.run(
        _INSERT,
        id=to_uuid(act.ids.new()),
        now=act.now,
        kind=kind,
        object=object_id,
        expected=expected,
        found=found,
    )

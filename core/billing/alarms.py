"""Alarms about money from outside: written with what they tell of, ids and numbers only."""

from __future__ import annotations

from typing import Final

from core.audit import Act
from core.db.database import Transaction
from core.db.values import to_uuid

_INSERT: Final = """
INSERT INTO alarm (id, occurred_at, kind, object_id, expected, found)
SELECT :id, :now, CAST(:kind AS text), CAST(:object AS text), CAST(:expected AS bigint),
       CAST(:found AS bigint)
 WHERE NOT EXISTS (SELECT 1 FROM alarm
                    WHERE object_id = :object AND kind = :kind
                      AND expected IS NOT DISTINCT FROM CAST(:expected AS bigint)
                      AND found IS NOT DISTINCT FROM CAST(:found AS bigint))
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
    """Write an alarm; `kit.alarm_meanings` says what each kind means.

    The same of the same object with the same numbers is written once: what is looked at again and
    again would fill the list, and nothing else would be found in it.
    """
    await tx.run(
        _INSERT,
        id=to_uuid(act.ids.new()),
        now=act.now,
        kind=kind,
        object=object_id,
        expected=expected,
        found=found,
    )

"""One object that cannot be worked on hinders no other, whatever the reason is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from core.audit import Act
from core.billing.alarms import raise_alarm
from core.db.database import Pool
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.reasons import DomainError

BILLING_FAULT: Final = "billing_fault"
ALARM_AFTER: Final = 3
"""So many faults in a row are no passing trouble, of the database say."""
REMEMBERED_MAX: Final = 1_000

Value = TypeVar("Value")


class Faults:
    """Takes what a step raises; a fault of ours that stays is alarmed, with the object's id."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, log: EventLog, actor: str) -> None:
        """Log as, and raise alarms by, the actor."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._log = log
        self._actor = actor
        self._in_a_row: dict[str, int] = {}

    async def guard(self, name: str, step: Awaitable[Value]) -> Value | None:
        """Do a step about an object that is taken up again later; None if it failed."""
        try:
            done = await step
        except DomainError as error:
            self._log.fault("step_waits", error, about=name)
            return None
        except Exception as error:  # noqa: BLE001 - the boundary of what comes from outside
            self._log.fault("step_failed", error, about=name)
            await self._count(name)
            return None
        self._in_a_row.pop(name, None)
        return done

    async def _count(self, name: str) -> None:
        if len(self._in_a_row) >= REMEMBERED_MAX:
            self._in_a_row.clear()
        count = self._in_a_row.get(name, 0) + 1
        self._in_a_row[name] = count
        if count == ALARM_AFTER:
            act = Act(self._actor, now(self._clock), self._ids)
            async with self._pool.transaction("system") as tx:
                await raise_alarm(tx, act, BILLING_FAULT, name)
                await tx.commit()

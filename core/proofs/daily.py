"""What is proved and signed once a day, by whichever core comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from core.audit import Act
from core.db.database import Pool
from core.platform_key import PlatformKey
from core.proofs.roots import sign_today
from kit.log import EventLog
from kit.reasons import DomainError

ROUND_SECONDS: Final = 600
"""Longest time after midnight (UTC) until the new day's root is signed."""


async def keep_signing(
    pool: Pool, key: PlatformKey, act: Callable[[], Act], log: EventLog
) -> NoReturn:
    """Sign each day's root for ever."""
    while True:
        try:
            await sign_today(pool, key, act())
        except DomainError as error:
            log.fault("root_not_signed", error)
        await asyncio.sleep(ROUND_SECONDS)

"""What is proved and signed once a day, by whichever core comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from core.audit import Act
from core.db.database import Pool
from core.platform_key import PlatformKey
from core.proofs.report import Prover
from core.proofs.roots import sign_today
from kit.log import EventLog

ROUND_SECONDS: Final = 600
"""Longest time after midnight (UTC) until the new day's root is signed."""


async def keep_proving(
    prover: Prover, log: EventLog, *, round_seconds: float = ROUND_SECONDS
) -> NoReturn:
    """Prove everything once a day for ever.

    Two cores may do so at the same time: a proof changes nothing but the list of reports.
    """
    while True:
        # First the pause: whoever has just started has customers to serve.
        await asyncio.sleep(round_seconds)
        try:
            report = await prover.prove_today()
        except Exception as error:  # noqa: BLE001 a proof that fails takes no core along
            log.fault("proof_not_done", error)
            continue
        if report is not None:
            log.event("proof_done", findings=report.findings)


async def keep_signing(
    pool: Pool, key: PlatformKey, act: Callable[[], Act], log: EventLog
) -> NoReturn:
    """Sign each day's root for ever."""
    while True:
        try:
            await sign_today(pool, key, act())
        except Exception as error:  # noqa: BLE001 as above
            log.fault("root_not_signed", error)
        await asyncio.sleep(ROUND_SECONDS)

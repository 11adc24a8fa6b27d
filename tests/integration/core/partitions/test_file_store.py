"""Long lists of files and late records: whole, and in steps that let others be served."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from itertools import pairwise

from core.partitions import file_store
from core.partitions.file_store import FILES_AT_ONCE
from core.partitions.model import File, FileKind
from core.partitions.totals import late_totals
from tests.integration.core.partitions.conftest import World

JULY = date(2026, 7, 1)
LATE_IDS = 200_000
UNBROKEN_SECONDS_MAX = 0.3
"""On a busy machine; a list of that many values took 0.6 s on an idle one."""


def numbered(number: int) -> File:
    """A file over all workspaces."""
    name = f"ids/month=2026-07/{number:08d}.ids"
    return File(name, FileKind.IDS, None, 1, 16, 0, bytes(32), 0)


async def test_more_files_than_one_statement_takes_are_kept_whole(world: World) -> None:
    """Written, found by name and listed: each once, in the order of their names."""
    files = [numbered(number) for number in range(2 * FILES_AT_ONCE + 1)]
    async with world.metering.money.database.jobs.transaction("system") as tx:
        now = world.metering.money.now
        await tx.run("INSERT INTO archive_month (month) VALUES (:month)", month=JULY)
        await file_store.insert_files(tx, JULY, list(reversed(files)), now)
        assert await file_store.kept_files(tx, JULY) == files
        names = [file.name for file in files]
        assert sorted(await file_store.files_by_name(tx, names)) == names


async def test_many_late_ids_keep_nobody_waiting(world: World) -> None:
    """As many as one call may name."""
    ids = [number.to_bytes(16, "big") for number in range(LATE_IDS)]
    workspace = await world.metering.money.workspace()
    steps: list[float] = []

    async def step() -> None:
        while True:
            # What the loop's thread computed, not how long others kept the machine.
            steps.append(time.thread_time())
            await asyncio.sleep(0)

    async with world.metering.money.database.jobs.transaction("system") as tx:
        stepping = asyncio.create_task(step())
        await asyncio.sleep(0)
        assert (await late_totals(tx, JULY, workspace, ids)).records == 0
        stepping.cancel()
    assert max(b - a for a, b in pairwise(steps)) < UNBROKEN_SECONDS_MAX

"""`python -m tests.chaos.archive [--months N] [--rows N] [--workspaces N]`: the drill, whole.

Memory does not grow with the rows: see `tests.chaos.archive.drill` for how they are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path

from archiver.calendar import add_months, start_of
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from core.db.bootstrap import ensure_roles
from core.db.database import Database
from core.db.migrate import migrate
from core.demo_usage.maker import Plan
from core.metering.usage_rpc import usage_service
from tests.chaos.archive.drill import Drill, Seen
from tests.chaos.archive.making import Making
from tests.chaos.archive.readers import Reader, Readers
from tests.chaos.archive.shelves import HotShelf, Prover
from tests.support.archive_world import service_of
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.postgres import fast_folder, forgetful_server

FIRST = date(2026, 1, 1)
SMALL_ROWS_MAX = 1_000
"""Up to so many rows every month is read whole at every moment, by no other process by default."""


def plan_of(months: int, rows: int, workspaces: int) -> Plan:
    """So many months from the first one on."""
    return Plan(add_months(FIRST, months - 1), months, rows, workspaces, "drill")


async def drill(
    dsn: str,
    folder: Path,
    plan: Plan,
    tell: Callable[[date], None] | None = None,
    *,
    side_by_side: bool = False,
) -> Seen:
    """Play a plan on a migrated database; a small one reads `side_by_side` if that is asked for."""
    async with _world(dsn, folder, plan, side_by_side=side_by_side) as found:
        return await found.play(plan.all_months(), tell or (lambda _: None))


@asynccontextmanager
async def _world(dsn: str, folder: Path, plan: Plan, *, side_by_side: bool) -> AsyncIterator[Drill]:
    async with AsyncExitStack() as stack:
        database = Database.connect(dsn)
        stack.push_async_callback(database.close)
        money = MoneyWorld(database, now=start_of(plan.all_months()[0]))
        world = await MeteringWorld.start(money)
        stack.push_async_callback(world.stop)
        partitions, key = service_of(world, dsn, folder)
        store = open_store(ArchiverSettings(data_dir=folder))
        making = await Making.start(dsn, folder, plan)
        stack.push_async_callback(making.stop)
        usage = usage_service(database.jobs, WorldClock(money))
        port = await stack.enter_async_context(serving([partitions, usage]))
        channel = await stack.enter_async_context(calling(port, "archiver"))
        customer = await stack.enter_async_context(calling(port))
        is_small = plan.rows <= SMALL_ROWS_MAX
        reader: Reader | Readers
        if side_by_side or not is_small:
            reader = await Readers.start(dsn, folder)
            stack.push_async_callback(reader.stop)
        else:
            reader = Reader(HotShelf(customer), Prover(store, key, folder / "proved"))
        yield Drill(world, making, channel, customer, reader, store, folder, is_small=is_small)


def _line(plan: Plan, seen: Seen, seconds: float) -> str:
    spent = ", ".join(
        f"{what} {wall:.0f} s of which computing {own:.0f} s"
        for what, (wall, own) in seen.seconds.items()
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = seen.made
    assert made is not None
    return (
        f"{plan.rows} rows of {plan.workspaces} workspaces in {plan.months} months:"
        f" {seen.moments} moments, {seen.looks} looks meanwhile, {seen.readings} months read whole,"
        f" {seen.files} files read, {seen.expired_rows} rows expired, at most {seen.hot_rows_max}"
        f" hot in {seen.disk_bytes_max / 2**20:.0f} MiB of tables, peak memory of core and archiver"
        f" in one process {peak:.0f} MiB and of the maker {made.memory_bytes_max / 2**20:.0f} MiB,"
        f" {seconds:.0f} s (waiting for {spent}; the maker computed"
        f" {made.computing_seconds:.0f} s): all held\n"
    )


def main() -> int:
    """Run the drill on a PostgreSQL of its own; 0 if everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="Times the rows of one round.")
    parser.add_argument("--months", type=int, default=30)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--workspaces", type=int, default=10)
    options = parser.parse_args()
    plan = plan_of(options.months, options.rows * options.rounds, options.workspaces)
    began = time.monotonic()

    def tell(month: date) -> None:
        sys.stderr.write(f"{month:%Y-%m} over after {time.monotonic() - began:.0f} s\n")

    with forgetful_server() as server, tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        dsn = server.make_database()
        ensure_roles(dsn)
        migrate(dsn)
        seen = asyncio.run(drill(dsn, Path(folder), plan, tell))
    sys.stdout.write(_line(plan, seen, time.monotonic() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())

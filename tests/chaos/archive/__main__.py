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
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

from archiver.calendar import add_months, start_of
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from core.db.bootstrap import ensure_roles
from core.db.database import Database
from core.db.migrate import migrate
from core.demo_usage.maker import Maker, Plan
from core.keyring import load_or_make_keyring
from core.metering.usage_rpc import usage_service
from kit.ids import IdSource
from tests.chaos.archive.drill import Drill, Seen
from tests.support.archive_world import service_of
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.postgres import fast_folder, forgetful_server

FIRST = date(2026, 1, 1)


def plan_of(months: int, rows: int, workspaces: int) -> Plan:
    """So many months from the first one on."""
    return Plan(add_months(FIRST, months - 1), months, rows, workspaces, "drill")


async def drill(
    dsn: str, folder: Path, plan: Plan, tell: Callable[[date], None] | None = None
) -> Seen:
    """Play a plan on a migrated database."""
    async with _world(dsn, folder, plan) as found:
        return await found.play(plan.all_months(), tell or (lambda _: None))


@asynccontextmanager
async def _world(dsn: str, folder: Path, plan: Plan) -> AsyncIterator[Drill]:
    database = Database.connect(dsn)
    money = MoneyWorld(database, now=start_of(plan.all_months()[0]))
    world = await MeteringWorld.start(money)
    partitions, key = service_of(world, dsn, folder)
    peppers = load_or_make_keyring(folder / "keys" / "pepper.json")
    maker = Maker(database.jobs, IdSource(), peppers, plan)
    store = open_store(ArchiverSettings(data_dir=folder))
    usage = usage_service(database.jobs, WorldClock(money))
    try:
        async with (
            serving([partitions, usage]) as port,
            calling(port, "archiver") as channel,
            calling(port) as customer,
        ):
            yield Drill(world, maker, channel, customer, store, key, folder, plan.rows)
    finally:
        await world.stop()
        await database.close()


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
    spent = ", ".join(
        f"{what} {wall:.0f} s of which computing {own:.0f} s"
        for what, (wall, own) in seen.seconds.items()
    )
    sys.stdout.write(
        f"{plan.rows} rows of {plan.workspaces} workspaces in {plan.months} months:"
        f" {seen.moments} moments, {seen.listings} months read whole, {seen.files} files,"
        f" {seen.expired_rows} rows expired, at most {seen.hot_rows_max} hot in"
        f" {seen.disk_bytes_max / 2**20:.0f} MiB of tables, peak memory of core and archiver in"
        f" one process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB,"
        f" {time.monotonic() - began:.0f} s ({spent}): all held\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

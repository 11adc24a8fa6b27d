"""Made-up months are real usage: charged, chained and provable, only not asked for by anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from core.cli.demo import demo
from core.db.database import Database
from core.demo_usage.hold import ArchiveHold, ArchiverWorks
from core.demo_usage.maker import Maker, MonthsArchived, NoPrices, Plan, RecordsRefused
from core.demo_usage.shape import month_counts, row_counts
from core.keyring import load_or_make_keyring
from core.metering.model import add_months
from core.metering.partitions import partition_name
from core.partitions import lease
from kit.cli import Exit
from kit.clock import now
from kit.ids import IdSource
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld
from tests.support.postgres import PostgresServer

PLAN = Plan(last=date(2026, 10, 1), months=3, rows=900, workspaces=4, seed="1")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MeteringWorld]:
    """A database with one priced model."""
    database = Database.connect(database_url)
    world = await MeteringWorld.start(MoneyWorld(database))
    yield world
    await world.stop()
    await database.close()


@dataclass
class Ticking:
    """A clock that a test moves; each look at its intervals takes it on by a step."""

    seconds: float = 0
    step_seconds: float = 0
    looks: int = 0

    def now_ns(self) -> int:
        """Return the time of the test."""
        return 1_790_000_000 * 10**9 + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        """Return seconds that go on by themselves."""
        self.looks += 1
        return self.looks * self.step_seconds


def hold(world: MeteringWorld, clock: Ticking) -> ArchiveHold:
    """A hold of the archive's lease at a test's time."""
    return ArchiveHold(world.money.database.jobs, clock, IdSource())


def _lease_seconds(dsn: str, clock: Ticking) -> float:
    """For how long the archive's lease is somebody's."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET ROLE oneapi_system")
        row = connection.execute("SELECT expires_at FROM archive_lease").fetchone()
    assert row is not None
    expires_at: datetime = row[0]
    return (expires_at - now(clock)).total_seconds()


def maker(
    world: MeteringWorld, folder: Path, plan: Plan = PLAN, hold: ArchiveHold | None = None
) -> Maker:
    """A maker on the world's database."""
    peppers = load_or_make_keyring(folder / "keys" / "pepper.json")
    return Maker(world.money.database.jobs, IdSource(), peppers, plan, hold)


async def test_made_months_are_charged_and_can_be_proved(
    world: MeteringWorld, tmp_path: Path
) -> None:
    """All rows in their months, the ledger's revenue is their charges, the audit finds nothing."""
    told: dict[date, int] = {}
    made = await maker(world, tmp_path).make(lambda month, rows: told.update({month: rows}))
    assert list(told) == PLAN.all_months()
    assert sum(told.values()) == made.rows == PLAN.rows
    assert made.workspaces == 4
    stored = await world.rows(
        "SELECT CAST(CAST(tableoid AS regclass) AS text), count(*) FROM usage_record GROUP BY 1"
    )
    assert set(stored) == {(partition_name(month), rows) for month, rows in told.items()}
    ((charges,),) = await world.rows("SELECT CAST(sum(charge_nanos) AS bigint) FROM usage_record")
    assert await world.account("rev.usage") == charges == made.charged_nanos > 0
    assert await world.account("receivable") == 0
    assert await world.money.findings() == []
    ((most,),) = await world.rows(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM usage_record GROUP BY workspace_id) AS w"
    )
    assert isinstance(most, int)
    assert PLAN.rows // 2 <= most < PLAN.rows // 2 + PLAN.workspaces
    outcomes = await world.rows("SELECT outcome FROM usage_record GROUP BY outcome")
    assert {(1,), (2,)} <= set(outcomes)


async def test_the_command_makes_months_up_to_the_last_whole_one(
    world: MeteringWorld, database_url: str, tmp_path: Path
) -> None:
    """And says what it made; in production it refuses."""
    options = ["usage", "--months", "2", "--rows", "30", "--workspaces", "2", "--json"]
    surroundings = {"DATABASE_URL": database_url, "ONEAPI_DATA_DIR": str(tmp_path)}

    def run(**more: str) -> Result:
        return CliRunner().invoke(demo, options, env=surroundings | more)

    done = await asyncio.to_thread(run)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["rows"] == 30
    assert await world.rows("SELECT count(*) FROM usage_record") == [(30,)]
    refused = await asyncio.to_thread(run, ONEAPI_PROFILE="production")
    assert refused.exit_code == Exit.REFUSED
    assert await world.rows("SELECT count(*) FROM usage_record") == [(30,)]


async def test_no_usage_is_made_for_a_month_that_is_archived(
    world: MeteringWorld, tmp_path: Path
) -> None:
    """It would all be late, and waived."""
    async with world.money.database.jobs.transaction("system") as tx:
        await tx.run("UPDATE archive_watermark SET month = '2026-09-01'")
        await tx.commit()
    with pytest.raises(MonthsArchived):
        await maker(world, tmp_path).make(lambda _month, _rows: None)


async def test_a_second_run_adds_as_much_in_workspaces_of_its_own(
    world: MeteringWorld, tmp_path: Path
) -> None:
    """Also with the same seed: no id and no name of the first one is in the way."""
    first = await maker(world, tmp_path).make(lambda _month, _rows: None)
    second = await maker(world, tmp_path).make(lambda _month, _rows: None)
    assert (second.rows, second.workspaces) == (first.rows, first.workspaces)
    stored = await world.rows(
        "SELECT count(*), count(DISTINCT workspace_id), CAST(sum(charge_nanos) AS bigint)"
        " FROM usage_record"
    )
    charged = first.charged_nanos + second.charged_nanos
    assert stored == [(2 * PLAN.rows, 2 * PLAN.workspaces, charged)]
    assert await world.account("rev.usage") == charged
    assert await world.money.findings() == []


async def test_refused_records_end_the_run(
    world: MeteringWorld, postgres_server: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    """They would be missing from what it says that it made."""
    made = maker(world, tmp_path)
    await made.prepare()
    month = PLAN.all_months()[0]
    await made.make_month(month)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        # The same ids come again and say something else than what is stored.
        connection.execute("UPDATE usage_record SET content_hash = sha256(content_hash)")
    with pytest.raises(RecordsRefused):
        await made.make_month(month)


async def test_the_archiver_waits_while_months_are_filled(
    world: MeteringWorld, database_url: str, tmp_path: Path
) -> None:
    """The archive's lease is renewed all the while, and free as soon as everything is made."""
    clock, left = Ticking(), []

    def tell(_month: date, _rows: int) -> None:
        left.append(_lease_seconds(database_url, clock))
        clock.seconds += 45

    await maker(world, tmp_path, hold=hold(world, clock)).make(tell)
    assert left == [60, 60, 60]
    assert _lease_seconds(database_url, clock) <= 0


async def test_nothing_is_made_while_the_archiver_works(
    world: MeteringWorld, tmp_path: Path
) -> None:
    """It is waited for, but not for ever."""
    clock = Ticking(step_seconds=76)
    async with world.money.database.jobs.transaction("system") as tx:
        assert await lease.acquire(tx, "a" * 32, now(clock))
        await tx.commit()
    with pytest.raises(ArchiverWorks):
        await maker(world, tmp_path, hold=hold(world, clock)).make(lambda _month, _rows: None)
    assert await world.rows("SELECT count(*) FROM workspace") == [(0,)]
    clock.seconds += 60
    made = await maker(world, tmp_path, hold=hold(world, clock)).make(lambda _month, _rows: None)
    assert made.rows == PLAN.rows


async def test_a_run_that_fails_ends_its_epoch_and_its_hold(
    world: MeteringWorld, database_url: str, tmp_path: Path
) -> None:
    """Here by a month that was frozen all the same: it is told by name."""
    clock = Ticking()

    def freeze(month: date, _rows: int) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("SET ROLE oneapi_partitions")
            connection.execute(
                f"ALTER TABLE {partition_name(add_months(month, 1))}"
                " ADD CONSTRAINT usage_frozen CHECK (false) NOT VALID"
            )

    with pytest.raises(MonthsArchived):
        await maker(world, tmp_path, hold=hold(world, clock)).make(freeze)
    closed = await world.rows("SELECT closed_at IS NOT NULL FROM edge_epoch WHERE edge_id > 1")
    assert closed == [(True,)]
    assert _lease_seconds(database_url, clock) <= 0
    assert await world.money.findings() == []


async def test_a_large_month_is_made_part_by_part(world: MeteringWorld, tmp_path: Path) -> None:
    """Each part has its credit before it is charged, and is settled before the next one is made."""
    plan = Plan(last=date(2026, 10, 1), months=1, rows=4_500, workspaces=1, seed="1")
    made = await maker(world, tmp_path, plan).make(lambda _month, _rows: None)
    assert await world.rows("SELECT count(DISTINCT settlement_id) FROM usage_record") == [(3,)]
    assert await world.account("rev.usage") == made.charged_nanos
    assert await world.account("receivable") == 0
    assert await world.money.findings() == []


async def test_without_prices_nothing_is_made(database_url: str, tmp_path: Path) -> None:
    """Usage that costs nothing shows nothing."""
    database = Database.connect(database_url)
    peppers = load_or_make_keyring(tmp_path / "keys" / "pepper.json")
    with pytest.raises(NoPrices):
        await Maker(database.jobs, IdSource(), peppers, PLAN).prepare()
    await database.close()


@pytest.mark.parametrize(("rows", "parts"), [(5, 7), (1_000, 1), (1_000, 200), (30, 30)])
def test_shares_add_up(rows: int, parts: int) -> None:
    """Whatever is shared, nothing is lost; the first workspace has at least half."""
    assert sum(row_counts(rows, parts)) == sum(month_counts(rows, parts)) == rows
    assert min(row_counts(rows, parts) + month_counts(rows, parts)) >= 0
    assert row_counts(rows, parts)[0] >= rows // 2

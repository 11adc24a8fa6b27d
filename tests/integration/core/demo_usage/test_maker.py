"""Made-up months are real usage: charged, chained and provable, only not asked for by anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from core.cli.demo import demo
from core.db.database import Database
from core.demo_usage.maker import Maker, MonthsArchived, NoPrices, Plan, RecordsRefused
from core.demo_usage.shape import month_counts, row_counts
from core.keyring import load_or_make_keyring
from core.metering.partitions import partition_name
from kit.cli import Exit
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


def maker(world: MeteringWorld, folder: Path, plan: Plan = PLAN) -> Maker:
    """A maker on the world's database."""
    peppers = load_or_make_keyring(folder / "keys" / "pepper.json")
    return Maker(world.money.database.jobs, IdSource(), peppers, plan)


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

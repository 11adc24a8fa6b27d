"""PostgreSQL dies in the middle of a detach: what is pending is brought to its end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc
import psycopg
import pytest

from core.db import bootstrap, embedded, migrate
from core.db.database import Database
from oneapi.partitions.v1 import partition_pb2 as months
from tests.integration.core.partitions.conftest import IN_JULY, JULY
from tests.support.archive_world import Archiver, service_of
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld
from tests.support.postgres import chosen_bin_dir

# A killed server loses nothing that the kernel has.
KERNEL_IS_ENOUGH = {"fsync": "off", "full_page_writes": "off"}
PENDING = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"


async def test_a_detach_that_was_killed_is_finished(tmp_path: Path) -> None:
    """A reader keeps it waiting; the server is killed there; the next try ends it."""
    server = embedded.EmbeddedPostgres(
        tmp_path / "pg", bin_dir=chosen_bin_dir(), settings=KERNEL_IS_ENOUGH
    )
    dsn = server.start()
    try:
        bootstrap.ensure_roles(dsn)
        migrate.migrate(dsn)
        money = MoneyWorld(Database.connect(dsn))
        await money.edge()
        metering = await MeteringWorld.start(money)
        service, _ = service_of(metering, dsn, tmp_path)
        async with serving([service]) as port, calling(port, "archiver") as channel:
            archiver = Archiver(channel)
            workspace = await money.workspace(10)
            await metering.report([metering.record(workspace, moment=IN_JULY) for _ in range(3)])
            await archiver.archive(JULY)
            await _kill_while_detaching(server, dsn, archiver)
            assert server.start() == dsn
            assert _pending(dsn) == 1
            assert (await _patiently(archiver)).state == months.Month.STATE_DETACHED
            assert _pending(dsn) == 0
            kept = "SELECT count(*) FROM usage_record_y2026m07"
            assert _count(dsn, kept) == 3
            assert _count(dsn, "SELECT count(*) FROM usage_record") == 0
            money.pass_time(24 * 3_600)
            assert (await archiver.drop(JULY)).state == months.Month.STATE_DROPPED
        await metering.stop()
        await money.database.close()
    finally:
        server.stop()


async def _kill_while_detaching(
    server: embedded.EmbeddedPostgres, dsn: str, archiver: Archiver
) -> None:
    reader = psycopg.connect(dsn)
    reader.execute("SET ROLE oneapi_partitions")
    reader.execute("SELECT count(*) FROM usage_record")
    detaching = asyncio.create_task(archiver.detach(JULY))
    while not _pending(dsn):  # noqa: ASYNC110 - PostgreSQL sets no event of ours
        await asyncio.sleep(0.05)
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    with pytest.raises(grpc.aio.AioRpcError):
        await detaching
    reader.close()


async def _patiently(archiver: Archiver) -> months.Month:
    """Pools still hold connections to the dead server, a few calls long."""
    while True:
        try:
            return await archiver.detach(JULY)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.1)


def _pending(dsn: str) -> int:
    return _count(dsn, PENDING)


def _count(dsn: str, sql: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE oneapi_partitions")
        row = connection.execute(sql).fetchone()
    assert row is not None
    return int(row[0])

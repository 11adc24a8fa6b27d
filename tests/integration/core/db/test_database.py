"""Transactions: named roles, rollback by default, errors that say `try again`."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import exc

from core.db.database import Database, open_pool
from kit.reasons import Unavailable

COUNT = "SELECT count(*) AS n FROM change_log"
INSERT = "INSERT INTO change_log VALUES (1, 3, NULL, '2027-01-01Z')"
_READABLE_BY_ALL = """
SELECT c.relname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
 WHERE a.attname = 'workspace_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
   AND c.relnamespace = CAST('public' AS regnamespace) AND NOT c.relispartition
   AND has_table_privilege('oneapi_app', c.oid, 'SELECT')
   AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""


@pytest.mark.parametrize("role", ["app", "system", "partitions"])
async def test_a_transaction_runs_in_the_role_it_names(database: Database, role: str) -> None:
    """The login itself can do nothing; every transaction says as whom it works."""
    async with database.rpc.transaction(role) as tx:  # type: ignore[arg-type]
        row = await tx.one("SELECT current_user AS name")
    assert row is not None
    assert row.name == f"oneapi_{role}"


async def test_the_role_ends_with_the_transaction(database_url: str) -> None:
    """A connection that goes back to the pool keeps no rights."""
    pool = open_pool(database_url, size=1, statement_timeout_ms=1_000)
    async with pool.transaction("app", b"w" * 16):
        pass
    async with pool.transaction("system") as tx:
        row = await tx.one("SELECT current_setting('oneapi.workspace_id') AS workspace")
    await pool.close()
    assert row is not None
    assert row.workspace == ""


async def test_leaving_without_commit_rolls_back(database: Database) -> None:
    """Only a deliberate commit writes."""
    async with database.rpc.transaction("system") as tx:
        await tx.run(INSERT)
    async with database.rpc.transaction("system") as tx:
        row = await tx.one(COUNT)
    assert row is not None
    assert row.n == 0


async def test_commit_writes(database: Database) -> None:
    """What was committed is there for the next transaction."""
    async with database.rpc.transaction("system") as tx:
        await tx.run(INSERT)
        await tx.commit()
    async with database.rpc.transaction("system") as tx:
        row = await tx.one(COUNT)
    assert row is not None
    assert row.n == 1


async def test_a_statement_that_takes_too_long_may_be_repeated(database_url: str) -> None:
    """A time-out is no fault of the statement: callers are told to try again."""
    pool = open_pool(database_url, size=1, statement_timeout_ms=50)
    with pytest.raises(Unavailable) as caught:
        async with pool.transaction("system") as tx:
            await tx.one("SELECT pg_sleep(30)")
    await pool.close()
    assert caught.value.metadata == {"sqlstate": "57014"}


async def test_a_server_that_is_away_may_come_back() -> None:
    """No connection is Unavailable, not an internal fault."""
    pool = open_pool("postgresql://nobody@/none?host=/nonexistent", size=1, statement_timeout_ms=50)
    with pytest.raises(Unavailable):
        async with pool.transaction("system"):
            pass


async def test_a_wrong_statement_is_a_fault(database: Database) -> None:
    """A mistake of ours is never dressed up as a temporary problem."""
    with pytest.raises(exc.ProgrammingError):
        async with database.rpc.transaction("system") as tx:
            await tx.one("SELECT nothing_of_the_kind")


async def test_errors_do_not_show_parameters(database: Database) -> None:
    """Whatever a parameter holds, an error's text does not repeat it."""
    with pytest.raises(exc.ProgrammingError) as caught:
        async with database.rpc.transaction("system") as tx:
            await tx.one("SELECT nothing_of_the_kind WHERE :p = 'x'", p="CNYsecretprompt")
    assert "CNYsecretprompt" not in str(caught.value)


async def test_without_a_workspace_app_sees_no_rows(database: Database) -> None:
    """No setting means no rows: a forgotten workspace shows nothing instead of everything."""
    await _insert_workspace(database, uuid4().bytes)
    async with database.rpc.transaction("app") as tx:
        assert await tx.all("SELECT id FROM workspace") == []


async def test_app_sees_its_own_workspace_and_no_other(database: Database) -> None:
    """Row-level security keeps tenants apart even where a query forgot to."""
    mine, other = uuid4().bytes, uuid4().bytes
    await _insert_workspace(database, mine)
    await _insert_workspace(database, other)
    async with database.rpc.transaction("app", mine) as tx:
        rows = await tx.all("SELECT id FROM workspace")
    assert [row.id.bytes for row in rows] == [mine]


async def test_whatever_a_workspace_may_read_keeps_tenants_apart(database: Database) -> None:
    """A new table that names workspaces has row-level security before app may read it."""
    async with database.rpc.transaction("system") as tx:
        rows = await tx.all(_READABLE_BY_ALL)
    assert [row.relname for row in rows] == []


@pytest.mark.parametrize("table", ["ledger_txn", "ledger_entry", "wallet_log", "usage_record"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("role", ["app", "system"])
async def test_nobody_deletes_from_the_books(
    database: Database, role: str, statement: str, table: str
) -> None:
    """The ledger is insert-only by privilege, not by good manners."""
    with pytest.raises(exc.ProgrammingError) as caught:
        async with database.rpc.transaction(role) as tx:  # type: ignore[arg-type]
            await tx.run(statement.format(table))
    assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)


async def _insert_workspace(database: Database, workspace_id: bytes) -> None:
    async with database.rpc.transaction("system") as tx:
        await tx.run(
            "INSERT INTO workspace VALUES (:id, 'A name', 1, 1, '2027-01-01Z', 0)",
            id=str(workspace_id.hex()),
        )
        await tx.commit()


async def test_a_cancelled_task_ends_although_its_connection_broke_meanwhile(
    database: Database,
) -> None:
    """A driver that tidies up after a cancellation may fail; who retries must still end."""
    entered = asyncio.Event()

    async def retried() -> None:
        while True:
            with contextlib.suppress(Unavailable):
                async with database.rpc.transaction("system") as tx:
                    own = await tx.one("SELECT pg_backend_pid() AS pid")
                    assert own is not None
                    entered.set()
                    try:
                        await asyncio.sleep(60)
                    finally:
                        await _terminate(database, own.pid)
                        await tx.one(COUNT)

    task = asyncio.create_task(retried())
    await entered.wait()
    task.cancel()

    done, _ = await asyncio.wait([task], timeout=10)
    still_runs = not done
    task.cancel()
    assert not still_runs
    assert task.cancelled()


async def _terminate(database: Database, pid: int) -> None:
    async with database.jobs.transaction("system") as tx:
        await tx.one("SELECT pg_terminate_backend(:pid, 5000) AS done", pid=pid)

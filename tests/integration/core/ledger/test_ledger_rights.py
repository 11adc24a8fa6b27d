"""What the services' roles cannot do to the ledger, whatever their code says."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import exc

from core.db.database import Role
from core.ledger.store import lock_wallets
from tests.support.money_world import DOLLAR, MoneyWorld

INSERT_ONLY = ("ledger_txn", "ledger_entry", "wallet_log", "usage_record", "usage_late")


@pytest.mark.parametrize("role", ["app", "system"])
@pytest.mark.parametrize("table", INSERT_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET workspace_id = workspace_id", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_no_service_changes_or_deletes_what_was_posted(
    world: MoneyWorld, role: Role, table: str, statement: str
) -> None:
    """Privileges enforce insert-only."""
    workspace = await world.workspace(1)
    with pytest.raises(exc.ProgrammingError) as refused:
        await _run(world, role, workspace, statement.format(table))
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


async def _run(world: MoneyWorld, role: Role, workspace: bytes, statement: str) -> None:
    async with world.database.rpc.transaction(role, workspace) as tx:
        await tx.run(statement)
        await tx.commit()


async def test_a_workspace_sees_its_own_ledger_only(world: MoneyWorld) -> None:
    """Row-level security, also where a query forgets to ask for the workspace."""
    mine, _other = await world.workspace(1), await world.workspace(2)
    for table in ("wallet", "credit_grant", "ledger_txn", "ledger_entry", "wallet_log"):
        async with world.database.rpc.transaction("app", mine) as tx:
            rows = await tx.all(f"SELECT workspace_id FROM {table}")
        assert {row.workspace_id.bytes for row in rows} == {mine}


async def test_entries_that_do_not_sum_to_zero_are_refused_by_the_database(
    world: MoneyWorld,
) -> None:
    """The trigger stands behind the code."""
    await world.workspace(1)
    statement = "INSERT INTO ledger_entry SELECT id, 9, 'rev.usage', NULL, NULL, 1 FROM ledger_txn"
    with pytest.raises(exc.IntegrityError):
        await _run(world, "system", world.ids.new(), statement)


async def test_opposite_orders_of_wallets_never_deadlock(world: MoneyWorld) -> None:
    """Locks are taken in the order of ids, whatever order a caller names."""
    wallets = [await world.workspace(1) for _ in range(20)]

    async def lock(order: list[bytes]) -> int:
        async with world.database.rpc.transaction("system") as tx:
            return len(await lock_wallets(tx, order))

    orders = [wallets, wallets[::-1]] * 10
    assert await asyncio.gather(*(lock(order) for order in orders)) == [20] * 20


async def test_acquirers_and_returners_at_once_lose_nothing(world: MoneyWorld) -> None:
    """Four edges take, return and close at the same time; in the end all is back."""
    workspace = await world.workspace(1)
    for edge in range(4):
        await world.edge(edge)

    async def live(edge: int) -> None:
        for number in range(1, 8):
            state = await world.acquire(workspace, number, DOLLAR // 100, edge_id=edge)
            await world.renew([(state.lease_id, number * DOLLAR // 200)], edge_id=edge)
        await world.close_epoch(edge)

    await asyncio.gather(*(live(edge) for edge in range(4)))
    balance = await world.balance(workspace)
    assert (balance.available, balance.held) == (DOLLAR, 0)

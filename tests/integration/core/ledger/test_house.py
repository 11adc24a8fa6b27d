"""Fees, withdrawals and payouts: of the house alone, once for each balance transaction."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from core.ledger import house
from core.ledger.model import EXP_PSP_FEES, PAID, STRIPE_CLEARING, Entry, GrantKind
from kit.reasons import RequestIdReused
from tests.support.money_world import DOLLAR, MoneyWorld
from tests.support.postgres import PostgresServer


async def fee(world: MoneyWorld, nanos: int = 30, name: str = "txn_1") -> object:
    """Book a fee."""
    return await world.run(house.fee, balance_txn_id=name, nanos=nanos)


async def test_what_the_provider_keeps_and_sends_leaves_the_clearing_account(
    world: MoneyWorld,
) -> None:
    """Its balance with us is minus that account."""
    workspace = await world.workspace()
    await world.grant(workspace, 10 * DOLLAR, GrantKind.PAID, tax=DOLLAR)
    for step, name, nanos, fee_nanos in (
        (house.withdrawal, "txn_2", 11 * DOLLAR, 15),
        (house.reinstatement, "txn_3", 11 * DOLLAR, -15),
    ):
        await world.run(step, balance_txn_id=name, nanos=nanos, fee=fee_nanos)
    await fee(world)
    assert await world.account("psp.stripe_clearing") == -11 * DOLLAR + 30
    await world.run(house.payout, balance_txn_id="txn_4", nanos=11 * DOLLAR - 30)
    sums = [await world.account(f"psp.{name}") for name in ("stripe_clearing", "stripe_disputed")]
    assert sums == [0, 0]
    assert await world.account("psp.bank") == -11 * DOLLAR + 30
    assert await world.account("exp.psp_fees") == -30
    assert await world.findings() == []


async def test_each_is_booked_once_however_often_and_at_once(world: MoneyWorld) -> None:
    """No lock keeps two sweeps apart, the business key does."""
    await asyncio.gather(*(fee(world) for _ in range(4)))
    await fee(world)
    assert await world.account("exp.psp_fees") == -30
    with pytest.raises(RequestIdReused):
        await fee(world, 31)
    assert await fee(world, 0, "txn_9") is None
    assert await world.findings() == []


async def test_no_account_of_a_workspace_is_touched(world: MoneyWorld) -> None:
    """Nor another kind of transaction written past the chains."""
    workspace = await world.workspace()
    house_entries = (Entry(EXP_PSP_FEES, -1), Entry(STRIPE_CLEARING, 1))
    for kind, entries in (
        ("psp_fee", (Entry(PAID, -1), Entry(STRIPE_CLEARING, 1))),
        ("psp_fee", (Entry(EXP_PSP_FEES, -1, workspace), Entry(STRIPE_CLEARING, 1))),
        ("settle", house_entries),
        ("psp_fee", house_entries[:1]),
    ):
        with pytest.raises(ValueError, match=r"house|zero"):
            await world.run(house.post, kind=kind, business_key="stripe:txn_1:fee", entries=entries)


async def test_a_change_of_it_is_found(
    world: MoneyWorld, postgres_server: PostgresServer, database_url: str
) -> None:
    """Outside of the chains its own hash covers it."""
    await fee(world)
    dsn = postgres_server.superuser_url_of(database_url)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE ledger_txn SET actor = 'other'")
    assert {finding.check for finding in await world.findings()} == {"wallet_chain"}

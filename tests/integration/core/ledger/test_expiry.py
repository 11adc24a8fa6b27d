"""Credit that has expired is not there: not in a balance, not in a lease, not for a charge."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.ledger import expiry
from core.ledger.model import Balance, CreditGrant, GrantKind
from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from kit.reasons import InsufficientCredits
from tests.support.money_world import DOLLAR, MoneyWorld

HOUR = 3_600


async def expiring(
    world: MoneyWorld, workspace: bytes, kind: GrantKind = GrantKind.PROMOTIONAL
) -> CreditGrant:
    """Give two dollars for an hour."""
    moment = world.now + timedelta(hours=1)
    return await world.grant(workspace, 2 * DOLLAR, kind, expires_at=moment)


async def expire_due(world: MoneyWorld) -> int:
    """Let the loop go round once."""
    async with world.database.jobs.transaction("system") as tx:
        count = await expiry.expire_due(tx, world.now)
        await tx.commit()
    return count


async def account(world: MoneyWorld, name: str) -> int:
    """Return the sum of an account's entries."""
    async with world.database.jobs.transaction("system") as tx:
        row = await tx.one(
            "SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM ledger_entry"
            " WHERE account = :name",
            name=name,
        )
    assert row is not None
    return int(row.total)


async def postings(world: MoneyWorld) -> int:
    """Return how many expiries were posted."""
    async with world.database.jobs.transaction("system") as tx:
        return len(await tx.all("SELECT 1 FROM ledger_txn WHERE kind = 'grant_expiry'"))


async def findings(world: MoneyWorld) -> list[Finding]:
    """Prove the ledger."""
    async with world.database.jobs.transaction("system", snapshot=True) as tx:
        return [found async for found in verify(tx, None, UsageProofs(), Tally())]


def balance(dollars: float, *, held: float = 0) -> Balance:
    """Return a balance without debt."""
    nanos, in_leases = int(dollars * DOLLAR), int(held * DOLLAR)
    return Balance(nanos, in_leases, nanos - in_leases, 0, 0)


async def test_a_balance_never_shows_expired_credit(world: MoneyWorld) -> None:
    """The moment it expires, before anything is posted; after that the same."""
    workspace = await world.workspace(1)
    await expiring(world, workspace)
    world.pass_time(HOUR - 1)
    assert await world.balance(workspace) == balance(3)
    world.pass_time(1)
    assert await world.balance(workspace) == balance(1)
    assert await postings(world) == 0
    assert await expire_due(world) == 1
    assert await world.balance(workspace) == balance(1)
    assert await findings(world) == []


@pytest.mark.parametrize(
    ("kind", "house", "before"),
    [
        (GrantKind.PROMOTIONAL, "exp.promo", -2 * DOLLAR),
        (GrantKind.GOODWILL, "exp.promo", -2 * DOLLAR),
        (GrantKind.PAID, "rev.breakage", 0),
    ],
)
async def test_given_credit_is_no_expense_any_more_and_bought_credit_is_revenue(
    world: MoneyWorld, kind: GrantKind, house: str, before: int
) -> None:
    """The posting rules of an expiry."""
    workspace = await world.workspace()
    await expiring(world, workspace, kind)
    assert await account(world, house) == before
    world.pass_time(HOUR)
    await expire_due(world)
    assert await account(world, house) == before + 2 * DOLLAR
    assert await account(world, kind.account) == 0


async def test_an_expiry_is_posted_once_whoever_sees_it(world: MoneyWorld) -> None:
    """Two loops and an edge at the same time."""
    workspace = await world.workspace(1)
    await world.edge()
    await expiring(world, workspace)
    world.pass_time(HOUR)
    await asyncio.gather(
        expire_due(world), world.acquire(workspace, 1, DOLLAR // 2), expire_due(world)
    )
    assert await expire_due(world) == 0
    assert await postings(world) == 1
    assert await world.balance(workspace) == balance(1, held=0.5)
    assert await findings(world) == []


async def test_a_lease_s_edge_is_told_of_no_expired_credit(world: MoneyWorld) -> None:
    """Neither when it asks for credit nor when it keeps its lease alive."""
    workspace = await world.workspace(1)
    await world.edge()
    await expiring(world, workspace)
    lease = await world.acquire(workspace, 1, DOLLAR // 2)
    world.pass_time(HOUR)
    (kept,) = await world.renew([(lease.lease_id, 0)])
    assert kept.available == DOLLAR
    with pytest.raises(InsufficientCredits) as refused:
        await world.acquire(workspace, 2, 2 * DOLLAR)
    assert refused.value.metadata["available_nanos"] == str(DOLLAR)


async def test_what_a_lease_gives_back_to_an_expired_grant_has_expired(world: MoneyWorld) -> None:
    """It may be used inside the lease; outside there is none of it, each time anew."""
    workspace = await world.workspace()
    await world.edge()
    await expiring(world, workspace)
    lease = await world.acquire(workspace, 1, DOLLAR)
    world.pass_time(HOUR)
    assert await world.balance(workspace) == balance(1, held=1)
    for returned in (DOLLAR // 4, DOLLAR // 2):
        await world.renew([(lease.lease_id, returned)])
        left = (DOLLAR - returned) / DOLLAR
        assert await world.balance(workspace) == balance(left, held=left)
    assert await world.close_epoch() == DOLLAR // 2
    assert await world.balance(workspace) == balance(0)
    await expire_due(world)
    assert await account(world, "exp.promo") == 0
    assert await findings(world) == []


async def test_new_credit_comes_beside_what_has_expired(world: MoneyWorld) -> None:
    """The balance that the call answers is true."""
    workspace = await world.workspace()
    await expiring(world, workspace)
    world.pass_time(HOUR)
    await world.grant(workspace, DOLLAR)
    assert await world.balance(workspace) == balance(1)
    assert await postings(world) == 1

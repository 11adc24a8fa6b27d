"""Bad cases of credit, leases and expiry, by their numbers in docs/billing-cases.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from core.db.values import to_uuid
from core.ledger import expiry, leases, refunds
from core.ledger.model import Balance, GrantKind
from kit.money import MAX_NANOS
from kit.reasons import (
    AmountOutOfRange,
    CreditInUse,
    InsufficientCredits,
    WorkspaceNotActive,
)
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld

PAID, PROMO = GrantKind.PAID, GrantKind.PROMOTIONAL
CENT = DOLLAR // 100
SILENCE_SECONDS = 600 + 3_600 + 60 + 1


async def close_silent(world: MoneyWorld) -> int:
    """Let the loop that frees silent leases go round once."""
    async with world.database.jobs.transaction("system") as tx:
        freed = await leases.close_expired(tx, None, world.now)
        await tx.commit()
    return freed


async def expire_due(world: MoneyWorld) -> int:
    """Let the loop that posts expiries go round once."""
    async with world.database.jobs.transaction("system") as tx:
        count = await expiry.expire_due(tx, world.now)
        await tx.commit()
    return count


async def close_workspace(world: MoneyWorld, workspace: bytes) -> None:
    """Close a workspace for good."""
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE workspace SET state = 3 WHERE id = :id", id=to_uuid(workspace))
        await tx.commit()


async def outcomes(*steps: Awaitable[object]) -> list[object]:
    """Run steps at the same time; return what each answered or raised."""
    return await asyncio.gather(*steps, return_exceptions=True)


async def test_case_39_a_clock_of_core_that_jumps_back_ends_no_lease_early(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """An hour back: leases live on, what expired in one stays in it, and the chain goes on."""
    workspace = await world.workspace(10)
    await world.grant(workspace, DOLLAR, expires_at=world.now + timedelta(minutes=5))
    lease = await world.acquire(workspace, 1, 4 * DOLLAR)
    world.pass_time(600)
    await expire_due(world)
    world.pass_time(-3_600)
    (kept,) = await world.renew([(lease.lease_id, DOLLAR)])
    assert not kept.closed
    assert await close_silent(world) == 0
    await metering.spend(workspace, DOLLAR)
    world.pass_time(3_600)
    assert await close_silent(world) == 0
    rows = await metering.rows("SELECT sequence FROM wallet_log ORDER BY txn_id")
    assert len(rows) == len(set(rows))
    assert await world.balance(workspace) == Balance(10 * DOLLAR, 3 * DOLLAR, 7 * DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_case_47_a_charge_beyond_its_hold_is_taken_whole(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """From the lease, then from free credit, then as debt; the hold is on the record."""
    workspace = await world.workspace()
    await world.grant(workspace, DOLLAR)
    await world.grant(workspace, DOLLAR, PAID)
    await world.acquire(workspace, 1, DOLLAR)
    await metering.spend(workspace, 5 * DOLLAR)
    assert await world.balance(workspace) == Balance(0, 0, 0, 0, 3 * DOLLAR)
    assert await world.account("rev.usage") == 5 * DOLLAR
    rows = await metering.rows("SELECT charge_nanos, hold_nanos FROM usage_record")
    assert rows == [(5 * DOLLAR, 50_000_000)]
    assert await world.findings() == []


async def test_case_53_fifty_edges_at_once_on_ten_cents(world: MoneyWorld) -> None:
    """Each wants three cents: three get them, and no more is ever held than was there."""
    workspace = await world.workspace()
    await world.grant(workspace, 10 * CENT)
    for edge in range(50):
        await world.edge(edge)
    answers = await outcomes(
        *(world.acquire(workspace, 1, 3 * CENT, edge_id=edge) for edge in range(50))
    )
    refused = [each for each in answers if isinstance(each, BaseException)]
    assert len(answers) - len(refused) == 3
    assert {type(each) for each in refused} <= {CreditInUse, InsufficientCredits}
    assert await world.balance(workspace) == Balance(10 * CENT, 9 * CENT, CENT, 0, 0)
    assert await world.findings() == []


async def test_case_55_a_closed_workspace_takes_only_what_ends_something(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Its leases settle and come back, its refunds go out, money that came is booked."""
    workspace = await world.workspace()
    bought = await world.grant(workspace, 10 * DOLLAR, PAID)
    lease = await world.acquire(workspace, 1, 4 * DOLLAR)
    await close_workspace(world, workspace)
    with pytest.raises(WorkspaceNotActive):
        await world.acquire(workspace, 2, DOLLAR)
    for kind in (PROMO, GrantKind.GOODWILL):
        with pytest.raises(WorkspaceNotActive):
            await world.grant(workspace, DOLLAR, kind)
    await metering.spend(workspace, DOLLAR)
    await world.renew([(lease.lease_id, 2 * DOLLAR)])
    await world.grant(workspace, DOLLAR, PAID)
    await world.run(
        refunds.reserve,
        workspace_id=workspace,
        grant_id=bought.grant_id,
        refund_id=b"r" * 16,
        net=6 * DOLLAR,
        tax=0,
    )
    assert await world.close_epoch() == DOLLAR
    assert await world.balance(workspace) == Balance(4 * DOLLAR, 0, 4 * DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_case_56_a_settlement_after_its_lease_expired_counts_once(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """The lease was released; the wallet is charged, and nothing is released a second time."""
    workspace = await world.workspace(10)
    record = metering.record(workspace, input_tokens=0, output_tokens=100_000)
    lease = await world.acquire(workspace, 1, 4 * DOLLAR)
    world.pass_time(SILENCE_SECONDS)
    assert await close_silent(world) == 4 * DOLLAR
    for _ in range(2):
        await metering.report([record])
    assert await close_silent(world) == 0
    assert await world.give_back(lease.lease_id, 4 * DOLLAR) is not None
    assert await world.balance(workspace) == Balance(9 * DOLLAR, 0, 9 * DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_case_57_a_lease_that_two_release_is_released_once(world: MoneyWorld) -> None:
    """The edge that closes, the loop that finds it silent, and a return, all at once."""
    workspace = await world.workspace(10)
    await world.edge()
    lease = await world.acquire(workspace, 1, 4 * DOLLAR)
    world.pass_time(SILENCE_SECONDS)
    answers = await outcomes(
        world.close_epoch(),
        close_silent(world),
        world.give_back(lease.lease_id, 4 * DOLLAR),
        close_silent(world),
    )
    assert not [each for each in answers if isinstance(each, BaseException)]
    assert await world.balance(workspace) == Balance(10 * DOLLAR, 0, 10 * DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_case_58_an_old_epoch_s_usage_counts_and_its_lease_calls_do_not(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """A restarted edge that replays its old epoch neither revives nor empties a lease."""
    workspace = await world.workspace(10)
    old = await world.acquire(workspace, 1, 2 * DOLLAR)
    await world.edge(1, 2)
    new = await world.acquire(workspace, 1, 3 * DOLLAR, epoch=2)
    await world.close_epoch(1, 1)
    assert (await world.acquire(workspace, 1, 2 * DOLLAR)).closed
    assert await world.renew([(old.lease_id, 2 * DOLLAR), (new.lease_id, 3 * DOLLAR)]) == []
    await metering.report(
        [metering.record(workspace, input_tokens=0, output_tokens=100_000)], epoch=1
    )
    assert await world.balance(workspace) == Balance(9 * DOLLAR, 3 * DOLLAR, 6 * DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_case_59_given_credit_goes_first_and_does_not_outlive_its_lease(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Expired inside a lease it may be used there; what comes back of it is leased to nobody."""
    workspace = await world.workspace()
    bought = await world.grant(workspace, 2 * DOLLAR, PAID)
    given = await world.grant(workspace, 2 * DOLLAR, expires_at=world.now + timedelta(minutes=5))
    lease = await world.acquire(workspace, 1, 3 * DOLLAR)
    assert (await world.remaining(given), await world.remaining(bought)) == (0, DOLLAR)
    world.pass_time(301)
    await metering.spend(workspace, DOLLAR)
    await world.renew([(lease.lease_id, 2 * DOLLAR)])
    assert await world.remaining(bought) == 2 * DOLLAR
    with pytest.raises(InsufficientCredits):
        await world.acquire(workspace, 2, 3 * DOLLAR)
    assert await world.balance(workspace) == Balance(2 * DOLLAR, 0, 2 * DOLLAR, 0, 0)
    assert await world.account("exp.promo") == -DOLLAR
    assert await world.findings() == []


async def test_case_60_at_the_instant_of_its_expiry_credit_is_either_used_or_gone(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """A charge, a lease and the loop at that very moment: totals are exact whoever is first."""
    workspace = await world.workspace(1)
    moment = world.now + timedelta(minutes=5)
    await world.grant(workspace, 2 * DOLLAR, expires_at=moment)
    world.now = moment
    await outcomes(
        metering.spend(workspace, DOLLAR // 2),
        expire_due(world),
        world.acquire(workspace, 1, DOLLAR // 4),
        expire_due(world),
    )
    balance = await world.balance(workspace)
    assert (balance.total, balance.debt) == (DOLLAR // 2, 0)
    assert await world.account("exp.promo") == -DOLLAR
    assert await world.findings() == []


async def test_case_61_the_expiry_loop_twice_and_late(world: MoneyWorld) -> None:
    """What is left when it runs, once; what came back since, once more."""
    workspace = await world.workspace()
    await world.edge()
    await world.grant(workspace, 2 * DOLLAR, PAID, expires_at=world.now + timedelta(minutes=5))
    lease = await world.acquire(workspace, 1, DOLLAR)
    world.pass_time(86_400)
    # Silent since a day; nobody has looked yet.
    await asyncio.gather(expire_due(world), expire_due(world))
    assert await expire_due(world) == 0
    assert await world.account("rev.breakage") == DOLLAR
    await world.give_back(lease.lease_id, DOLLAR)
    assert [await expire_due(world), await expire_due(world)] == [1, 0]
    assert await world.account("rev.breakage") == 2 * DOLLAR
    assert await world.findings() == []


async def test_case_65_a_wallet_near_the_largest_number(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """The last nano-dollar fits, one more is refused, and a debt does not wrap either."""
    workspace = await world.workspace()
    await world.grant(workspace, MAX_NANOS - 1)
    await world.grant(workspace, 1, PAID)
    for kind in (PROMO, PAID):
        with pytest.raises(AmountOutOfRange):
            await world.grant(workspace, 1, kind)
    with pytest.raises(AmountOutOfRange):
        await world.grant(await world.workspace(), MAX_NANOS, PAID, tax=1)
    await world.acquire(workspace, 1, MAX_NANOS)
    assert await world.balance(workspace) == Balance(MAX_NANOS, MAX_NANOS, 0, 0, 0)
    await metering.spend(workspace, DOLLAR)
    assert await world.findings() == []


async def test_case_68_without_its_caches_a_wallet_says_the_same(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Balances are sums of entries: every figure that is kept beside them can be made anew."""
    workspace = await world.workspace(3)
    await world.grant(workspace, 5 * DOLLAR, PAID)
    await world.acquire(workspace, 1, 4 * DOLLAR)
    await metering.spend(workspace, DOLLAR)
    before = await world.balance(workspace)
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE credit_grant SET remaining = 0")
        await tx.run(
            "UPDATE credit_grant AS g SET remaining = (SELECT sum(e.amount) FROM ledger_entry AS e"
            " WHERE e.grant_id = g.id AND e.account IN ('promo', 'paid'))"
        )
        await tx.run("UPDATE wallet SET posted = 0, held = 0, frozen = 0, receivable = 0")
        await tx.run(
            "UPDATE wallet AS w SET posted = s.posted, held = s.held, receivable = -s.owed"
            " FROM (SELECT workspace_id,"
            " coalesce(sum(amount) FILTER (WHERE account IN ('promo', 'paid', 'held')), 0)"
            " AS posted, coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,"
            " coalesce(sum(amount) FILTER (WHERE account = 'receivable'), 0) AS owed"
            " FROM ledger_entry GROUP BY workspace_id) AS s WHERE s.workspace_id = w.workspace_id"
        )
        await tx.commit()
    assert await world.balance(workspace) == before
    assert before == Balance(7 * DOLLAR, 3 * DOLLAR, 4 * DOLLAR, 0, 0)
    assert await world.findings() == []

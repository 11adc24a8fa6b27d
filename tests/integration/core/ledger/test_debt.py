"""What a workspace owes is paid by whatever credit it has, before anything is leased."""

from __future__ import annotations

import pytest

from core.ledger import debt
from core.ledger.credits import Granted, GrantRequest, grant_with_balance
from core.ledger.model import Balance, GrantKind
from kit.reasons import AmountOutOfRange, CreditInUse, InsufficientCredits, InvalidArgument
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld

PAID = GrantKind.PAID


async def buy(world: MoneyWorld, workspace: bytes, dollars: int, key: str) -> Granted:
    """Buy credit with a tenth of tax."""
    tax = dollars * DOLLAR // 10
    request = GrantRequest(
        workspace, PAID, dollars * DOLLAR, None, key, "core.payments", world.now, tax
    )
    async with world.database.rpc.transaction("system") as tx:
        given = await grant_with_balance(tx, request)
        await tx.commit()
    return given


async def test_the_next_purchase_pays_the_debt_first_and_says_so(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """The rest is credit; the tax is neither. A repetition says the same."""
    workspace = await world.workspace()
    await metering.spend(workspace, 3 * DOLLAR)
    for created in (True, False):
        given = await buy(world, workspace, 10, "stripe:pi_1:credit")
        assert (given.created, given.repaid) == (created, 3 * DOLLAR)
        assert given.balance == Balance(7 * DOLLAR, 0, 7 * DOLLAR, 0, 0)
    assert await world.account("tax_payable") == DOLLAR
    assert await world.account("psp.stripe_clearing") == -11 * DOLLAR
    assert await world.findings() == []


async def test_only_bought_credit_has_tax(world: MoneyWorld) -> None:
    """And never less than none."""
    workspace = await world.workspace()
    with pytest.raises(InvalidArgument):
        await world.grant(workspace, DOLLAR, tax=1)
    with pytest.raises(AmountOutOfRange):
        await world.grant(workspace, DOLLAR, PAID, tax=-1)


async def test_nothing_is_leased_while_something_is_owed(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """The refusal says how much."""
    workspace = await world.workspace(1)
    await metering.spend(workspace, 3 * DOLLAR)
    assert await world.balance(workspace) == Balance(0, 0, 0, 0, 2 * DOLLAR)
    with pytest.raises(InsufficientCredits) as refused:
        await world.acquire(workspace, 1, 1)
    assert refused.value.metadata["debt_nanos"] == str(2 * DOLLAR)
    await world.grant(workspace, 5 * DOLLAR)
    await world.acquire(workspace, 1, 3 * DOLLAR)
    assert await world.balance(workspace) == Balance(3 * DOLLAR, 3 * DOLLAR, 0, 0, 0)


async def test_leases_that_hold_enough_are_asked_back_to_pay_a_debt(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """A small debt of a rich workspace is no reason for 402."""
    await world.edge(2)
    workspace = await world.workspace(10)
    lease = await world.acquire(workspace, 1, 10 * DOLLAR, edge_id=2)
    await metering.spend(workspace, DOLLAR, edge_id=1)
    with pytest.raises(CreditInUse):
        await world.acquire(workspace, 1, 9 * DOLLAR)
    with pytest.raises(InsufficientCredits):
        await world.acquire(workspace, 1, 9 * DOLLAR + 1)
    await world.renew([(lease.lease_id, 10 * DOLLAR)], edge_id=2)
    assert await world.balance(workspace) == Balance(9 * DOLLAR, 0, 9 * DOLLAR, 0, 0)
    assert await world.findings() == []


@pytest.mark.parametrize("way", ["give_back", "close_epoch"])
async def test_every_way_back_of_credit_pays_a_debt(
    world: MoneyWorld, metering: MeteringWorld, way: str
) -> None:
    """A return between renewals, and the end of an edge process."""
    await world.edge(2)
    workspace = await world.workspace(4)
    lease = await world.acquire(workspace, 1, 4 * DOLLAR, edge_id=2)
    await metering.spend(workspace, 3 * DOLLAR, edge_id=1)
    if way == "give_back":
        await world.give_back(lease.lease_id, 4 * DOLLAR)
    else:
        await world.close_epoch(edge_id=2)
    assert await world.balance(workspace) == Balance(DOLLAR, 0, DOLLAR, 0, 0)
    assert await world.findings() == []


async def test_bought_credit_pays_before_given_credit(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Given credit may expire; what was bought settles what is owed."""
    await world.edge(2)
    workspace = await world.workspace()
    given = await world.grant(workspace, 2 * DOLLAR)
    bought = await world.grant(workspace, 2 * DOLLAR, PAID)
    lease = await world.acquire(workspace, 1, 4 * DOLLAR, edge_id=2)
    await metering.spend(workspace, 3 * DOLLAR, edge_id=1)
    await world.renew([(lease.lease_id, 4 * DOLLAR)], edge_id=2)
    assert await world.remaining(bought) == 0
    assert await world.remaining(given) == DOLLAR
    assert await world.findings() == []


async def test_a_debt_is_written_off_once_and_never_beyond_it(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """It is our loss."""
    workspace = await world.workspace()
    await metering.spend(workspace, 3 * DOLLAR)

    async def write_off(dollars: int, request: str) -> bool:
        posted = await world.run(
            debt.write_off, workspace_id=workspace, amount=dollars * DOLLAR, request_id=request
        )
        return posted.created

    assert await write_off(2, "off-0001")
    assert not await write_off(2, "off-0001")
    for dollars in (0, 2, -1):
        with pytest.raises(AmountOutOfRange):
            await write_off(dollars, "off-0002")
    assert await world.account("exp.bad_debt") == -2 * DOLLAR
    assert (await world.balance(workspace)).debt == DOLLAR
    assert await world.findings() == []

"""Leases on a real wallet: sizes, refusals, returns, recall, expiry, epochs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.ledger.model import GrantKind
from kit.reasons import CreditInUse, InsufficientCredits
from tests.support.money_world import DOLLAR, MoneyWorld


async def test_a_lease_moves_credit_from_available_to_held(world: MoneyWorld) -> None:
    """The total stays; the edge gets what it lacks."""
    await world.edge()
    workspace = await world.workspace(10)
    state = await world.acquire(workspace, 1, 3 * DOLLAR)
    balance = await world.balance(workspace)
    assert state.granted_total == 3 * DOLLAR
    assert (balance.total, balance.held, balance.available) == (
        10 * DOLLAR,
        3 * DOLLAR,
        7 * DOLLAR,
    )


async def test_a_repeated_acquire_number_grants_once(world: MoneyWorld) -> None:
    """A retry after a lost answer must not take credit twice."""
    await world.edge()
    workspace = await world.workspace(10)
    first = await world.acquire(workspace, 1, DOLLAR)
    again = await world.acquire(workspace, 1, DOLLAR)
    assert again == first
    assert (await world.acquire(workspace, 2, DOLLAR)).granted_total == 2 * DOLLAR


async def test_a_repeated_acquire_number_is_known_after_the_lease_was_closed(
    world: MoneyWorld,
) -> None:
    """A late duplicate must not open a lease that no edge knows."""
    await world.edge()
    workspace = await world.workspace(10)
    await world.acquire(workspace, 1, DOLLAR)
    await world.close_epoch()
    assert (await world.acquire(workspace, 1, DOLLAR)).closed
    assert (await world.balance(workspace)).held == 0


async def test_a_fast_spender_gets_a_larger_lease_but_never_half_of_the_wallet(
    world: MoneyWorld,
) -> None:
    """Size: clamp(rate x lifetime, needed, available / (2 x edges))."""
    await world.edge()
    workspace = await world.workspace(10)
    state = await world.acquire(workspace, 1, 1_000, spend_rate=1_000_000)
    assert state.granted_total == 600_000_000
    state = await world.acquire(workspace, 2, 1_000, spend_rate=DOLLAR, edges=2)
    assert state.granted_total - 600_000_000 == (10 * DOLLAR - 600_000_000) // 4


async def test_the_last_credit_can_be_leased(world: MoneyWorld) -> None:
    """The lower bound of the clamp wins: one hold is granted while the wallet has it."""
    await world.edge()
    workspace = await world.workspace(1)
    assert (await world.acquire(workspace, 1, DOLLAR)).available == 0


async def test_too_little_credit_in_all_is_insufficient(world: MoneyWorld) -> None:
    """402: waiting for others would not help."""
    await world.edge()
    workspace = await world.workspace(1)
    with pytest.raises(InsufficientCredits) as refused:
        await world.acquire(workspace, 1, DOLLAR + 1)
    assert refused.value.metadata["available_nanos"] == str(DOLLAR)


async def test_credit_in_other_leases_is_in_use_and_recalled(world: MoneyWorld) -> None:
    """503: the other edge is asked for its free part, even though this call failed."""
    await world.edge(1)
    await world.edge(2)
    workspace = await world.workspace(10)
    other = await world.acquire(workspace, 1, 8 * DOLLAR, edge_id=1)
    with pytest.raises(CreditInUse):
        await world.acquire(workspace, 1, 3 * DOLLAR, edge_id=2)
    async with world.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT id FROM lease WHERE recalled_at IS NOT NULL")
    assert [row.id.bytes for row in rows] == [other.lease_id]
    (renewed,) = await world.renew([(other.lease_id, 8 * DOLLAR)], edge_id=1)
    assert not renewed.recalled
    state = await world.acquire(workspace, 1, 3 * DOLLAR, edge_id=2)
    assert state.granted_total == 3 * DOLLAR


async def test_two_halves_of_a_hold_on_two_edges_make_one(world: MoneyWorld) -> None:
    """Who asks gives back its part first, even if it is refused: the other gets a whole hold."""
    await world.edge(1)
    await world.edge(2)
    workspace = await world.workspace(2)
    first = await world.acquire(workspace, 1, DOLLAR, edge_id=1)
    second = await world.acquire(workspace, 1, DOLLAR, edge_id=2)
    with pytest.raises(CreditInUse):
        await world.acquire(workspace, 2, 2 * DOLLAR, edge_id=1, returned=(first.lease_id, DOLLAR))
    assert (await world.balance(workspace)).held == DOLLAR
    state = await world.acquire(
        workspace, 2, 2 * DOLLAR, edge_id=2, returned=(second.lease_id, DOLLAR)
    )
    assert state.granted_total - state.returned_total == 2 * DOLLAR


async def test_what_is_given_back_counts_before_a_refusal(world: MoneyWorld) -> None:
    """402 says what there is with it; it is free even so, and given back once."""
    await world.edge(1)
    workspace = await world.workspace(2)
    lease = await world.acquire(workspace, 1, DOLLAR)
    for number in (2, 3):
        with pytest.raises(InsufficientCredits) as refused:
            await world.acquire(workspace, number, 3 * DOLLAR, returned=(lease.lease_id, DOLLAR))
        assert refused.value.metadata["available_nanos"] == str(2 * DOLLAR)
        assert (await world.balance(workspace)).held == 0


async def test_a_return_on_another_lease_counts_nothing(world: MoneyWorld) -> None:
    """An edge that has not heard of the end of its lease gives back what it no longer has."""
    await world.edge(1)
    workspace = await world.workspace(2)
    await world.acquire(workspace, 1, DOLLAR)
    state = await world.acquire(workspace, 2, DOLLAR, returned=(b"x" * 16, DOLLAR))
    assert (state.granted_total, state.returned_total) == (2 * DOLLAR, 0)


async def test_returning_is_cumulative_and_never_more_than_held(world: MoneyWorld) -> None:
    """A repeated or wild return total frees each nano-dollar once."""
    await world.edge()
    workspace = await world.workspace(10)
    lease = (await world.acquire(workspace, 1, 4 * DOLLAR)).lease_id
    for total, held in ((DOLLAR, 3), (DOLLAR, 3), (3 * DOLLAR, 1), (99 * DOLLAR, 0)):
        await world.renew([(lease, total)])
        assert (await world.balance(workspace)).held == held * DOLLAR
    assert (await world.balance(workspace)).available == 10 * DOLLAR


async def test_giving_back_frees_like_a_renewal(world: MoneyWorld) -> None:
    """One lease can be given back by its id alone; an unknown one is nobody's."""
    await world.edge()
    workspace = await world.workspace(10)
    lease = (await world.acquire(workspace, 1, 4 * DOLLAR)).lease_id
    state = await world.give_back(lease, DOLLAR)
    assert state is not None
    assert state.returned_total == DOLLAR
    assert await world.give_back(world.ids.new(), DOLLAR) is None


async def test_only_its_own_edge_process_renews_a_lease(world: MoneyWorld) -> None:
    """A fenced process must not give credit back that its successor counts on."""
    await world.edge(1)
    await world.edge(1, epoch=2)
    workspace = await world.workspace(10)
    lease = (await world.acquire(workspace, 1, DOLLAR, epoch=2)).lease_id
    assert await world.renew([(lease, DOLLAR)], epoch=1) == []
    assert (await world.balance(workspace)).held == DOLLAR


async def test_a_silent_lease_is_closed_when_looked_at(world: MoneyWorld) -> None:
    """Freed after lifetime + longest request + 60 s, by whoever asks next; not a second before."""
    await world.edge(1)
    await world.edge(2)
    workspace = await world.workspace(10)
    await world.acquire(workspace, 1, 8 * DOLLAR, edge_id=1)
    world.pass_time(600 + 3_600 + 60)
    with pytest.raises(CreditInUse):
        await world.acquire(workspace, 1, 5 * DOLLAR, edge_id=2)
    world.pass_time(1)
    await world.acquire(workspace, 1, 5 * DOLLAR, edge_id=2)
    assert (await world.balance(workspace)).held == 5 * DOLLAR


async def test_closing_an_epoch_frees_its_leases_at_once_and_once(world: MoneyWorld) -> None:
    """No waiting for expiry when the spool was shipped whole."""
    await world.edge()
    first, second = await world.workspace(10), await world.workspace(10)
    await world.acquire(first, 1, DOLLAR)
    await world.acquire(second, 1, 2 * DOLLAR)
    assert await world.close_epoch() == 3 * DOLLAR
    assert await world.close_epoch() == 0
    assert (await world.balance(second)).available == 10 * DOLLAR


async def test_given_credit_is_leased_before_bought_and_returns_to_its_grant(
    world: MoneyWorld,
) -> None:
    """Burn order: promotional, sooner expiry, then paid; back in reverse."""
    await world.edge()
    workspace = await world.workspace()
    paid = await world.grant(workspace, 5 * DOLLAR, GrantKind.PAID)
    later = await world.grant(workspace, DOLLAR)
    soon = await world.grant(workspace, DOLLAR, expires_at=world.now + timedelta(days=1))
    lease = (await world.acquire(workspace, 1, 3 * DOLLAR)).lease_id
    remaining = await _remaining(world)
    assert [remaining[g.grant_id] for g in (soon, later, paid)] == [0, 0, 4 * DOLLAR]
    await world.renew([(lease, DOLLAR + 1)])
    remaining = await _remaining(world)
    assert [remaining[g.grant_id] for g in (soon, later, paid)] == [0, 1, 5 * DOLLAR]


async def test_expired_credit_is_not_leased(world: MoneyWorld) -> None:
    """Expiry is decided at the grant of a lease."""
    await world.edge()
    workspace = await world.workspace()
    await world.grant(workspace, DOLLAR, expires_at=world.now + timedelta(seconds=1))
    world.pass_time(1)
    with pytest.raises(InsufficientCredits):
        await world.acquire(workspace, 1, 1)


async def test_fifty_edges_at_once_never_lease_more_than_there_is(world: MoneyWorld) -> None:
    """Check and take are one step under the wallet's lock."""
    workspace = await world.workspace(1)
    for edge in range(50):
        await world.edge(edge)

    async def take(edge: int) -> int:
        try:
            return (await world.acquire(workspace, 1, DOLLAR // 10, edge_id=edge)).granted_total
        except CreditInUse:
            return 0

    granted = await asyncio.gather(*(take(edge) for edge in range(50)))
    assert sum(granted) == DOLLAR
    assert (await world.balance(workspace)).available == 0


async def _remaining(world: MoneyWorld) -> dict[bytes, int]:
    async with world.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT id, remaining FROM credit_grant")
    return {row.id.bytes: row.remaining for row in rows}

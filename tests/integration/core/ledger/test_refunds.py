"""Bought credit that goes back: reserved, sent, returned, or taken back at the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from core.ledger import debt, refunds
from core.ledger.model import Balance, CreditGrant, GrantKind
from kit.reasons import (
    AmountOutOfRange,
    CreditInUse,
    InsufficientCredits,
    InvalidState,
    NotFound,
    RequestIdReused,
)
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld

REFUND, OTHER = b"r" * 16, b"o" * 16


class Buyer:
    """A workspace that bought credit for ten dollars and two of tax, and its refund of four."""

    def __init__(self, world: MoneyWorld, workspace: bytes, grant: CreditGrant) -> None:
        self.world, self.workspace, self.grant = world, workspace, grant

    @classmethod
    async def of(cls, world: MoneyWorld) -> Buyer:
        """Let somebody buy."""
        workspace = await world.workspace()
        return cls(
            world, workspace, await world.grant(workspace, 10 * DOLLAR, PAID, tax=2 * DOLLAR)
        )

    async def do(self, step: Callable[..., Awaitable[object]], **words: object) -> object:
        """Run a step of the refund: four dollars and 80 cents of tax unless it says else."""
        about = {"workspace_id": self.workspace, "grant_id": self.grant.grant_id}
        amounts = {"net": 4 * DOLLAR, "tax": DOLLAR * 8 // 10}
        return await self.world.run(step, **(about | amounts | words))

    async def books(self) -> tuple[int, ...]:
        """Return clearing, tax, what is pending and what is free, in cents."""
        accounts = ("psp.stripe_clearing", "tax_payable", "refund_pending", "paid")
        return tuple([await self.world.account(name) // 10_000_000 for name in accounts])


PAID = GrantKind.PAID
BOUGHT = (-1200, 200, 0, 1000)
RESERVED = (-1200, 120, 480, 600)
GONE = (-720, 120, 0, 600)


@pytest.fixture
async def buyer(world: MoneyWorld) -> Buyer:
    """Somebody bought credit."""
    return await Buyer.of(world)


async def test_a_refund_is_set_aside_and_then_leaves(buyer: Buyer) -> None:
    """Credit is gone from the workspace at once, from our account when it was sent."""
    assert await buyer.books() == BOUGHT
    await buyer.do(refunds.reserve, refund_id=REFUND)
    assert await buyer.books() == RESERVED
    assert await buyer.world.balance(buyer.workspace) == Balance(6 * DOLLAR, 0, 6 * DOLLAR, 0, 0)
    await buyer.do(refunds.sent, refund_id=REFUND, stripe_id="re_1")
    assert await buyer.books() == GONE
    assert await buyer.world.findings() == []


async def test_every_step_is_done_once(buyer: Buyer) -> None:
    """A repeated call changes nothing, wherever the refund is by then."""
    steps: list[tuple[Callable[..., Awaitable[object]], dict[str, object]]] = [
        (refunds.reserve, {"refund_id": REFUND}),
        (refunds.sent, {"refund_id": REFUND, "stripe_id": "re_1"}),
        (refunds.returned, {"stripe_id": "re_1"}),
    ]
    for number in range(len(steps)):
        for step, words in steps[: number + 1]:
            await buyer.do(step, **words)
    assert await buyer.books() == BOUGHT
    for step, words in steps:
        with pytest.raises(RequestIdReused):
            await buyer.do(step, **(words | {"net": DOLLAR}))
    assert await buyer.world.findings() == []


async def test_a_refund_that_does_not_happen_is_released(buyer: Buyer) -> None:
    """The credit is free again, and neither released nor sent a second time."""
    await buyer.do(refunds.reserve, refund_id=REFUND)
    for _ in range(2):
        await buyer.do(refunds.release, refund_id=REFUND)
        assert await buyer.books() == BOUGHT
    with pytest.raises(InvalidState):
        await buyer.do(refunds.sent, refund_id=REFUND, stripe_id="re_1")
    with pytest.raises(InvalidState):
        await buyer.do(refunds.release, refund_id=OTHER)
    assert await buyer.books() == BOUGHT


async def test_what_was_sent_cannot_be_released(buyer: Buyer) -> None:
    """The money has left."""
    await buyer.do(refunds.reserve, refund_id=REFUND)
    await buyer.do(refunds.sent, refund_id=REFUND, stripe_id="re_1")
    with pytest.raises(InvalidState):
        await buyer.do(refunds.release, refund_id=REFUND)
    assert await buyer.books() == GONE


async def test_only_what_was_sent_comes_back(buyer: Buyer) -> None:
    """With the amounts that were sent."""
    await buyer.do(refunds.reserve, refund_id=REFUND)
    with pytest.raises(InvalidState):
        await buyer.do(refunds.returned, stripe_id="re_1")
    await buyer.do(refunds.sent, refund_id=REFUND, stripe_id="re_1")
    with pytest.raises(InvalidState):
        await buyer.do(refunds.returned, stripe_id="re_1", net=DOLLAR)
    assert await buyer.books() == GONE


async def test_more_than_is_free_is_refused(buyer: Buyer) -> None:
    """Other credit of the workspace does not count: it was not bought with that payment."""
    await buyer.world.grant(buyer.workspace, 5 * DOLLAR, PAID)
    with pytest.raises(InsufficientCredits) as refused:
        await buyer.do(refunds.reserve, refund_id=REFUND, net=11 * DOLLAR)
    assert refused.value.metadata["available_nanos"] == str(10 * DOLLAR)
    for amounts in ({"net": 0, "tax": 0}, {"net": -1}, {"tax": -1}):
        with pytest.raises(AmountOutOfRange):
            await buyer.do(refunds.reserve, refund_id=REFUND, **amounts)


async def test_only_bought_credit_of_that_workspace_is_refunded(buyer: Buyer) -> None:
    """Given credit, another's credit and what is no credit at all."""
    given = await buyer.world.grant(buyer.workspace, DOLLAR)
    stranger = await Buyer.of(buyer.world)
    for grant_id in (given.grant_id, stranger.grant.grant_id, OTHER):
        with pytest.raises(NotFound):
            await buyer.do(refunds.reserve, refund_id=REFUND, grant_id=grant_id)
        with pytest.raises(NotFound):
            await buyer.do(refunds.clawback, stripe_id="re_1", grant_id=grant_id)


async def test_credit_in_a_lease_is_asked_back_and_then_refunded(buyer: Buyer) -> None:
    """The recall outlives the refusal; what came back is set aside once."""
    await buyer.world.edge()
    lease = await buyer.world.acquire(buyer.workspace, 1, 8 * DOLLAR)
    with pytest.raises(CreditInUse):
        await buyer.do(refunds.reserve, refund_id=REFUND)
    (kept,) = await buyer.world.renew([(lease.lease_id, 0)])
    async with buyer.world.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT recalled_at FROM lease")
    assert [row.recalled_at for row in rows] == [None]
    assert not kept.closed
    with pytest.raises(CreditInUse):
        await buyer.do(refunds.reserve, refund_id=REFUND)
    async with buyer.world.database.rpc.transaction("system") as tx:
        assert len(await tx.all("SELECT 1 FROM lease WHERE recalled_at IS NOT NULL")) == 1
    await buyer.world.renew([(lease.lease_id, 2 * DOLLAR)])
    await buyer.do(refunds.reserve, refund_id=REFUND)
    assert await buyer.world.balance(buyer.workspace) == Balance(6 * DOLLAR, 6 * DOLLAR, 0, 0, 0)
    assert await buyer.world.findings() == []


async def test_a_refund_and_an_edge_that_want_the_same_credit(buyer: Buyer) -> None:
    """One of them is refused: it is never given twice."""
    await buyer.world.edge()
    answers = await asyncio.gather(
        buyer.world.acquire(buyer.workspace, 1, 8 * DOLLAR),
        buyer.do(refunds.reserve, refund_id=REFUND),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], CreditInUse | InsufficientCredits)
    assert await buyer.world.findings() == []


async def test_case_14_a_refund_made_at_stripe_beyond_what_is_left_is_owed(
    buyer: Buyer, metering: MeteringWorld
) -> None:
    """All that is left of the grant is taken, other credit is not; the rest is debt."""
    await metering.spend(buyer.workspace, 7 * DOLLAR)
    await buyer.world.grant(buyer.workspace, DOLLAR)
    for _ in range(2):
        owed = await buyer.do(refunds.clawback, stripe_id="re_1", net=10 * DOLLAR, tax=2 * DOLLAR)
        assert owed == 7 * DOLLAR
    assert await buyer.books() == (0, 0, 0, 0)
    assert await buyer.world.balance(buyer.workspace) == Balance(DOLLAR, 0, DOLLAR, 0, 7 * DOLLAR)
    assert await buyer.world.findings() == []


async def test_a_clawback_asks_leases_back(buyer: Buyer) -> None:
    """What they give back pays the debt."""
    await buyer.world.edge()
    lease = await buyer.world.acquire(buyer.workspace, 1, 8 * DOLLAR)
    assert await buyer.do(refunds.clawback, stripe_id="re_1") == 2 * DOLLAR
    async with buyer.world.database.rpc.transaction("system") as tx:
        assert len(await tx.all("SELECT 1 FROM lease WHERE recalled_at IS NOT NULL")) == 1
    await buyer.world.renew([(lease.lease_id, 8 * DOLLAR)])
    assert await buyer.world.balance(buyer.workspace) == Balance(6 * DOLLAR, 0, 6 * DOLLAR, 0, 0)
    assert await buyer.world.findings() == []


async def undo_clawback(buyer: Buyer) -> None:
    """Say that the refund which was made at Stripe failed."""
    for _ in range(2):
        await buyer.world.run(
            refunds.clawback_returned,
            workspace_id=buyer.workspace,
            grant_id=buyer.grant.grant_id,
            stripe_id="re_1",
        )


async def test_a_clawback_that_failed_later_is_undone_as_it_was_recorded(
    buyer: Buyer, metering: MeteringWorld
) -> None:
    """What was taken is free again, what was owed is not."""
    await metering.spend(buyer.workspace, 7 * DOLLAR)
    before = await buyer.books()
    await buyer.do(refunds.clawback, stripe_id="re_1", net=10 * DOLLAR, tax=2 * DOLLAR)
    await undo_clawback(buyer)
    assert await buyer.books() == before
    assert await buyer.world.balance(buyer.workspace) == Balance(3 * DOLLAR, 0, 3 * DOLLAR, 0, 0)
    assert await buyer.world.findings() == []


async def test_a_debt_that_was_paid_and_forgiven_meanwhile_is_undone_too(
    buyer: Buyer, metering: MeteringWorld
) -> None:
    """Credit that paid it comes back to its own grant; what was written off is no loss any more."""
    world = buyer.world
    await metering.spend(buyer.workspace, 7 * DOLLAR)
    await buyer.do(refunds.clawback, stripe_id="re_1", net=10 * DOLLAR, tax=2 * DOLLAR)
    second = await world.grant(buyer.workspace, 3 * DOLLAR, PAID)
    await world.run(
        debt.write_off, workspace_id=buyer.workspace, amount=DOLLAR, request_id="off-0001"
    )
    assert (await world.balance(buyer.workspace)).debt == 3 * DOLLAR
    assert await world.account("exp.bad_debt") == -DOLLAR
    await undo_clawback(buyer)
    assert await world.balance(buyer.workspace) == Balance(6 * DOLLAR, 0, 6 * DOLLAR, 0, 0)
    assert await world.remaining(second) == 3 * DOLLAR
    assert await world.remaining(buyer.grant) == 3 * DOLLAR
    assert await world.account("exp.bad_debt") == 0
    assert await world.findings() == []


async def test_a_clawback_is_undone_for_its_own_grant_only(buyer: Buyer) -> None:
    """An id of another refund, or of another workspace's, moves nothing."""
    stranger = await Buyer.of(buyer.world)
    await buyer.do(refunds.clawback, stripe_id="re_1")
    for owner, refund in ((stranger, "re_1"), (buyer, "re_2")):
        with pytest.raises(InvalidState):
            await owner.world.run(
                refunds.clawback_returned,
                workspace_id=owner.workspace,
                grant_id=owner.grant.grant_id,
                stripe_id=refund,
            )

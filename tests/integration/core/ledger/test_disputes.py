"""Disputed credit: frozen as far as it is there, given back, or lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from core.db.values import to_uuid
from core.ledger import disputes
from core.ledger.model import Balance, CreditGrant, GrantKind
from kit.reasons import InsufficientCredits, RequestIdReused
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld

_PAYMENT = """
INSERT INTO payment (id, workspace_id, request_id, kind, state, currency, net_minor, tax_mode,
                     grant_id, created_at, updated_at, checked_at)
VALUES (:id, :workspace, :request, 1, 4, 'usd', 1000, 1, :id, :now, :now, :now)
ON CONFLICT DO NOTHING
"""
_DISPUTE = """
INSERT INTO dispute (id, workspace_id, payment_id, stripe_id, state, currency, amount_minor,
                     frozen_nanos, created_at, updated_at, checked_at)
VALUES (:id, :workspace, :payment, :name, 2, 'usd', 1000, :frozen, :now, :now, :now)
ON CONFLICT (stripe_id) DO UPDATE SET frozen_nanos = excluded.frozen_nanos
"""
PAID = GrantKind.PAID


class Case:
    """A workspace whose payment of ten dollars (two of tax) is disputed."""

    def __init__(self, world: MoneyWorld, workspace: bytes, grant: CreditGrant) -> None:
        self.world, self.workspace, self.grant = world, workspace, grant

    @classmethod
    async def of(cls, world: MoneyWorld, *, days: int = 0) -> Case:
        """Let somebody buy, perhaps for some days."""
        workspace = await world.workspace()
        expires = world.now + timedelta(days=days) if days else None
        grant = await world.grant(workspace, 10 * DOLLAR, PAID, tax=2 * DOLLAR, expires_at=expires)
        return cls(world, workspace, grant)

    async def do(self, step: Callable[..., Awaitable[int]], **words: object) -> int:
        """Run a step of the dispute and keep its row as its owner would."""
        about = {"workspace_id": self.workspace, "grant_id": self.grant.grant_id}
        name = str(words.setdefault("stripe_id", "dp_1"))
        answer = await self.world.run(step, **(about | words))
        await self._record(name, answer if step is disputes.freeze else 0)
        return answer

    async def freeze(self, dollars: int, stripe_id: str = "dp_1") -> int:
        """Freeze up to so many dollars; return how many are frozen."""
        frozen = await self.do(disputes.freeze, up_to=dollars * DOLLAR, stripe_id=stripe_id)
        return frozen // DOLLAR

    async def lose(self, dollars: int = 10, stripe_id: str = "dp_1") -> int:
        """Lose so many dollars and a fifth of tax; return how many are owed."""
        amounts = {"net": dollars * DOLLAR, "tax": dollars * DOLLAR // 5}
        return await self.do(disputes.lose, **amounts, stripe_id=stripe_id) // DOLLAR

    async def balance(self) -> tuple[int, int, int, int, int]:
        """Return total, held, available, frozen and debt in dollars."""
        found = await self.world.balance(self.workspace)
        each = (found.total, found.held, found.available, found.frozen, found.debt)
        assert not any(amount % DOLLAR for amount in each)
        total, held, available, frozen, debt = (amount // DOLLAR for amount in each)
        return total, held, available, frozen, debt

    async def _record(self, name: str, frozen: int) -> None:
        async with self.world.database.rpc.transaction("system") as tx:
            grant, workspace = to_uuid(self.grant.grant_id), to_uuid(self.workspace)
            common = {"workspace": workspace, "now": self.world.now}
            await tx.run(_PAYMENT, **common, id=grant, request=f"pay-{grant.hex}")
            new = to_uuid(self.world.ids.new())
            await tx.run(_DISPUTE, **common, id=new, payment=grant, name=name, frozen=frozen)
            await tx.commit()


@pytest.fixture
async def case(world: MoneyWorld) -> Case:
    """Give a test a payment to be disputed."""
    return await Case.of(world)


async def test_exactly_what_is_disputed_is_frozen(case: Case) -> None:
    """Not more of that grant, and nothing of others; a repetition freezes nothing more."""
    await case.world.grant(case.workspace, 5 * DOLLAR, PAID)
    for _ in range(2):
        assert await case.freeze(4) == 4
    assert await case.balance() == (15, 0, 11, 4, 0)
    assert await case.world.findings() == []
    await case.world.edge()
    with pytest.raises(InsufficientCredits):
        await case.world.acquire(case.workspace, 1, 12 * DOLLAR)


async def test_what_leases_give_back_is_frozen_then(case: Case) -> None:
    """They are asked to; what they use meanwhile is used."""
    await case.world.edge()
    lease = await case.world.acquire(case.workspace, 1, 7 * DOLLAR)
    assert await case.freeze(10) == 3
    async with case.world.database.rpc.transaction("system") as tx:
        assert len(await tx.all("SELECT 1 FROM lease WHERE recalled_at IS NOT NULL")) == 1
    await case.world.renew([(lease.lease_id, 5 * DOLLAR)])
    assert await case.freeze(10) == 8
    assert await case.freeze(10) == 8
    assert await case.balance() == (10, 2, 0, 8, 0)
    assert await case.world.findings() == []


async def test_two_disputes_of_a_payment_freeze_apart(case: Case) -> None:
    """Each has its own total, and gives back its own; no name is a part of another's."""
    assert await case.freeze(4, "dp_1") == 4
    assert await case.freeze(3, "dp_11") == 3
    assert await case.do(disputes.thaw, stripe_id="dp_1") == 4 * DOLLAR
    assert await case.balance() == (10, 0, 7, 3, 0)
    assert await case.world.findings() == []


async def test_case_11_a_dispute_that_was_won_gives_the_credit_back(case: Case) -> None:
    """To the same grant, once."""
    await case.freeze(10)
    for _ in range(2):
        assert await case.do(disputes.thaw) == 10 * DOLLAR
    assert await case.world.remaining(case.grant) == 10 * DOLLAR
    assert await case.balance() == (10, 0, 10, 0, 0)
    assert await case.world.findings() == []


async def test_case_11_credit_that_expired_while_it_was_frozen_is_gone(world: MoneyWorld) -> None:
    """Expiry is honoured."""
    case = await Case.of(world, days=1)
    await case.freeze(10)
    world.pass_time(2 * 86_400)
    assert await case.balance() == (10, 0, 0, 10, 0)
    assert await case.do(disputes.thaw) == 10 * DOLLAR
    assert await case.balance() == (0, 0, 0, 0, 0)
    assert await world.account("rev.breakage") == 10 * DOLLAR
    assert await world.findings() == []


async def test_case_09_a_lost_dispute_about_spent_credit_is_owed(
    case: Case, metering: MeteringWorld
) -> None:
    """Nothing could be frozen; all of it is debt and nothing is leased any more."""
    await metering.spend(case.workspace, 10 * DOLLAR)
    assert await case.freeze(10) == 0
    for _ in range(2):
        assert await case.lose() == 10
    assert await case.balance() == (0, 0, 0, 0, 10)
    with pytest.raises(InsufficientCredits) as refused:
        await case.world.acquire(case.workspace, 1, 1)
    assert refused.value.metadata["debt_nanos"] == str(10 * DOLLAR)
    assert await case.world.account("psp.stripe_disputed") == 12 * DOLLAR
    assert await case.world.account("tax_payable") == 0
    assert await case.world.findings() == []


async def test_case_10_a_lost_dispute_about_partly_spent_credit(
    case: Case, metering: MeteringWorld
) -> None:
    """What was frozen is lost, the rest is owed; with other amounts it is refused."""
    await metering.spend(case.workspace, 4 * DOLLAR)
    assert await case.freeze(10) == 6
    assert await case.lose() == 4
    with pytest.raises(RequestIdReused):
        await case.lose(9)
    assert await case.balance() == (0, 0, 0, 0, 4)
    assert await case.world.findings() == []


async def test_a_loss_takes_what_came_back_since(case: Case) -> None:
    """Free credit of the grant comes before a debt; what was frozen beyond the loss is free."""
    await case.freeze(3)
    assert await case.lose(5) == 0
    assert await case.balance() == (5, 0, 5, 0, 0)
    assert await case.freeze(5, "dp_2") == 5
    assert await case.lose(1, "dp_2") == 0
    assert await case.balance() == (4, 0, 4, 0, 0)
    assert await case.world.findings() == []


async def test_a_frozen_balance_is_seen_as_such(case: Case) -> None:
    """Total = held + available + frozen."""
    await case.freeze(4)
    assert await case.world.balance(case.workspace) == Balance(
        10 * DOLLAR, 0, 6 * DOLLAR, 4 * DOLLAR, 0
    )

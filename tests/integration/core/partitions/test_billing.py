"""What a month's billing says: all that came and went, with its sign, and tax beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from core.billing.statements.model import LEASES, SECTIONS
from core.ledger import corrections, debt, disputes, refunds
from core.ledger.corrections import CorrectionReason
from core.ledger.expiry import expire_due
from core.partitions.billing import RULES
from kit.money import NANOS_PER_CENT as CENT
from oneapi.partitions.v1 import partition_service_pb2 as pb
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.support.archive_world import Row, rows_of
from tests.support.paid_world import PaidWorld

INSIDE = {
    *("settle", "debt_repayment", "refund_reserve", "refund_release"),
    *("dispute_freeze", "dispute_thaw", *LEASES),
}
"""Kinds that give a workspace nothing and take nothing from it; usage is in the records."""


@dataclass
class Buyer:
    """A workspace that buys in July; amounts in cents."""

    world: World
    workspace: bytes
    paid: PaidWorld = field(init=False)

    def __post_init__(self) -> None:
        """Pay in the same world."""
        self.paid = PaidWorld(self.world.metering.money)

    async def buy(self, net: int, tax: int) -> bytes:
        """Buy credit; return the payment, whose receipt is issued."""
        payment_id = await self.paid.payment(self.workspace, net, tax)
        await self.paid.receipt(payment_id)
        return payment_id

    async def of(self, payment_id: bytes, net: int, tax: int) -> dict[str, Any]:
        """What the ledger is told of a part of a purchase."""
        ((grant,),) = await self.world.metering.rows(
            "SELECT grant_id FROM payment WHERE id = CAST(:id AS uuid)", id=payment_id.hex()
        )
        amounts = {"net": net * CENT, "tax": tax * CENT}
        return {"workspace_id": self.workspace, "grant_id": grant.bytes, **amounts}  # type: ignore[attr-defined]

    async def refund(self, payment_id: bytes, net: int, tax: int) -> bytes:
        """Refund a part that we were asked to refund, up to its credit note."""
        refund_id = await self.paid.refund(payment_id, net, tax)
        what = await self.of(payment_id, net, tax) | {"refund_id": refund_id}
        await self.paid.money.run(refunds.reserve, **what)
        await self.paid.money.run(refunds.sent, **what, stripe_id=f"re_{refund_id.hex()}")
        await self.paid.refund_note(refund_id)
        return refund_id

    async def take_back(self, payment_id: bytes, net: int, tax: int) -> bytes:
        """Book a part that was refunded at the provider."""
        refund_id = await self.paid.refund(payment_id, net, tax)
        what = await self.of(payment_id, net, tax) | {"stripe_id": f"re_{refund_id.hex()}"}
        await self.paid.money.run(refunds.clawback, **what)
        return refund_id

    async def billed(self) -> list[Row]:
        """July's billing, exported in November."""
        self.paid.money.now = IN_JULY + timedelta(days=130)
        archiver = self.world.archiver
        await archiver.lead()
        await archiver.freeze(JULY)
        request = pb.ExportBillingRequest(fence=archiver.fence, month=JULY)
        return rows_of([part.arrow_ipc async for part in archiver.stub.ExportBilling(request)])


async def buyer(world: World) -> Buyer:
    """A buyer in July, with three dollars of promotional credit."""
    world.metering.money.now = IN_JULY
    return Buyer(world, await world.metering.money.workspace(3))


def told(rows: list[Row]) -> list[tuple[str, str, int, str | None]]:
    """What each row says, amounts in cents."""
    return [(r["kind"], r["category"], r["amount_nanos"] // CENT, r["document"]) for r in rows]


def test_every_kind_of_movement_is_billed_or_known_to_stay_inside() -> None:
    """A new kind is decided here before a month with it is archived."""
    billed = {rule.kind for rule in RULES}
    assert billed | INSIDE == SECTIONS.keys() | LEASES
    assert not billed & INSIDE


async def test_what_was_paid_back_has_its_sign_and_its_tax_apart(world: World) -> None:
    """Refunds, of ours and at the provider, one that failed later, and a lost dispute."""
    made = await buyer(world)
    money = made.paid.money
    first = await made.buy(2_000, 380)
    second = await made.buy(1_000, 190)
    money.pass_time(60)
    await made.refund(first, 600, 114)
    money.pass_time(60)
    failed = await made.refund(first, 100, 19)
    money.pass_time(60)
    what = await made.of(first, 100, 19) | {"stripe_id": f"re_{failed.hex()}"}
    await money.run(refunds.returned, **what)
    await made.paid.reversal(failed)
    money.pass_time(60)
    await made.take_back(first, 400, 76)
    dispute_id = await made.paid.dispute(second, 1_190)
    what = await made.of(second, 1_000, 190) | {"stripe_id": f"dp_{dispute_id.hex()}"}
    money.pass_time(60)
    await money.run(disputes.lose, **what)
    rows = await made.billed()
    assert told(rows[5:]) == [
        ("refund_sent", "refund", -600, "C-2026-000001"),
        ("refund_sent", "tax", -114, "C-2026-000001"),
        ("refund_sent", "refund", -100, "C-2026-000002"),
        ("refund_sent", "tax", -19, "C-2026-000002"),
        ("refund_returned", "refund", 100, "C-2026-000003"),
        ("refund_returned", "tax", 19, "C-2026-000003"),
        ("refund_clawback", "refund", -400, None),
        ("refund_clawback", "tax", -76, None),
        ("dispute_lost", "refund", -1_000, None),
        ("dispute_lost", "tax", -190, None),
    ]
    assert sorted(told(rows[:5])) == [
        ("paid_grant", "purchase", 1_000, "R-2026-000002"),
        ("paid_grant", "purchase", 2_000, "R-2026-000001"),
        ("paid_grant", "tax", 190, "R-2026-000002"),
        ("paid_grant", "tax", 380, "R-2026-000001"),
        ("promo_grant", "credit", 300, None),
    ]
    grants = [(await made.of(each, 0, 0))["grant_id"] for each in (first, second)]
    assert {row["grant_id"] for row in rows[5:13]} == {grants[0]}
    assert {row["grant_id"] for row in rows[13:]} == {grants[1]}
    # All money together is what the provider still has of it.
    paid = sum(r["amount_nanos"] for r in rows if r["category"] in {"purchase", "refund", "tax"})
    kept = await money.account("psp.stripe_clearing") + await money.account("psp.stripe_disputed")
    assert paid == -kept


async def test_billing_and_usage_together_are_what_the_workspace_has(world: World) -> None:
    """Expiry, a debt, a correction, a write-off, a clawback that was taken back: nothing is lost.

    Of the clawback's debt a part had been written off, which its return must not give twice.
    """
    made = await buyer(world)
    money, metering = made.paid.money, world.metering
    await money.grant(made.workspace, 70 * CENT, expires_at=money.now + timedelta(hours=1))
    money.pass_time(7_200)
    async with money.database.rpc.transaction("system") as tx:
        assert await expire_due(tx, money.now) == 1
        await tx.commit()
    payment = await made.buy(2_000, 0)
    record = await metering.spend(made.workspace, 1_500 * CENT)
    words = {"request_id": "fix-00001", "record_id": record, "amount": 50 * CENT}
    await money.run(corrections.correct, **words, reason=CorrectionReason.AGREED)
    undone = await made.take_back(payment, 1_200, 0)
    await metering.spend(made.workspace, 100 * CENT)
    owed = (await money.balance(made.workspace)).debt
    assert owed > 40 * CENT
    for number, cents in enumerate((owed // CENT - 10, 10)):
        words = {"workspace_id": made.workspace, "amount": cents * CENT}
        await money.run(debt.write_off, **words, request_id=f"writeoff-{number}")
    what = {name: (await made.of(payment, 0, 0))[name] for name in ("workspace_id", "grant_id")}
    await money.run(refunds.clawback_returned, **what, stripe_id=f"re_{undone.hex()}")
    assert await money.findings() == []
    balance = await money.balance(made.workspace)
    charged = await money.account("rev.usage")
    rows = await made.billed()
    given = sum(row["amount_nanos"] for row in rows if row["category"] != "tax")
    assert given - charged == balance.total - balance.debt
    assert {row["category"] for row in rows} == {"purchase", "credit", "refund", "adjustment"}
    kinds = {row["kind"] for row in rows if row["category"] == "adjustment"}
    assert kinds == {"grant_expiry", "correction", "debt_write_off", "refund_clawback_returned"}

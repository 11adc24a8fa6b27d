"""Evidence where the usage that speaks for us is in the archive."""

from __future__ import annotations

from datetime import UTC, date, datetime

from core.billing.shares import MINOR_NANOS
from core.partitions.month_store import collapse_hours, insert_frozen, set_published
from kit.charge import DIMENSIONS
from tests.support.stripe_world import StripeWorld


async def test_evidence_of_an_archived_month_names_no_day(world: StripeWorld) -> None:
    """Its hours are one sum at its start: of the payment's own month nothing is claimed."""
    workspace = await world.money.workspace(1)
    payment = await world.pay(workspace, 2_500)
    world.money.pass_time(3_600)
    await world.spend(workspace, 60)
    world.money.now = datetime(2026, 12, 9, 12, tzinfo=UTC)
    await world.spend(workspace, 200)
    world.money.pass_time(86_400)
    await world.spend(workspace, 300)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    dispute = await world.dispute(opened["id"])
    for month in (date(2026, 11, 1), date(2026, 12, 1)):
        async with world.money.database.rpc.transaction("system") as tx:
            await insert_frozen(tx, month, world.money.now)
            await set_published(tx, month, revision=1, records=1, now=world.money.now)
            await collapse_hours(tx, month, DIMENSIONS)
            await tx.commit()
    found = await world.disputes.evidence(dispute.dispute_id)
    assert [(use.when, use.requests, use.charges // MINOR_NANOS) for use in found.uses.shown] == [
        ("2026-12", 2, 500)
    ]

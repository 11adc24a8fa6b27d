"""No card is charged because we took credit away: disputes, refunds and debts stop the top-up."""

from __future__ import annotations

import pytest

from core.billing.accounts.model import AutoState, AutoStop
from core.billing.disputes.desk import DisputeDesk
from core.billing.payments.model import Payment
from core.billing.refunds.desk import RefundDesk, RefundTerms
from core.billing.refunds.model import RefundReason, Wanted
from core.db.values import to_uuid
from kit.money import NANOS_PER_CENT
from tests.support.payment_world import PaymentWorld


def refunds_of(world: PaymentWorld) -> RefundDesk:
    """The desk of refunds, as the process runs it."""
    return RefundDesk(
        world.database.rpc,
        world.gateway,
        world.clock,
        world.ids,
        world.log,
        world.documents,
        RefundTerms(),
    )


def disputes_of(world: PaymentWorld) -> DisputeDesk:
    """The desk of disputes."""
    return DisputeDesk(
        world.database.rpc,
        world.gateway,
        world.clock,
        world.ids,
        world.log,
        world.documents,
        refunds_of(world),
    )


async def well_supplied(world: PaymentWorld) -> tuple[bytes, Payment]:
    """A workspace with ten dollars, a card, and automatic top-up below five."""
    workspace_id = await world.workspace()
    payment = await world.bought(workspace_id, 1_000, saves_card=True)
    await world.auto(workspace_id, below=500)
    assert await world.desk.top_up_all() == 0
    return workspace_id, payment


async def stopped_by(world: PaymentWorld, workspace_id: bytes) -> AutoStop:
    """Nothing is bought; why not."""
    assert await world.desk.top_up_all() == 0
    assert len(await world.payments(workspace_id)) == 1
    auto = (await world.account(workspace_id)).auto
    assert auto.state is AutoState.STOPPED
    return auto.stop_reason


async def test_a_dispute_stops_it_and_keeps_it_from_buying(world: PaymentWorld) -> None:
    """Frozen credit is not missing; and who switches it on again waits for the end."""
    workspace_id, payment = await well_supplied(world)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await disputes_of(world).converge(opened["id"])
    assert await stopped_by(world, workspace_id) is AutoStop.DISPUTED
    await world.auto(workspace_id, below=5_000)
    assert await world.desk.top_up_all() == 0
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    await disputes_of(world).converge(opened["id"])
    assert (await world.account(workspace_id)).auto.state is AutoState.ON
    assert await world.desk.top_up_all() == 1


async def test_a_lost_dispute_charges_no_card(world: PaymentWorld) -> None:
    """Neither for the credit that it took, nor if somebody switches it on again."""
    workspace_id, payment = await well_supplied(world)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await disputes_of(world).converge(opened["id"])
    assert await stopped_by(world, workspace_id) is AutoStop.DISPUTED
    await world.auto(workspace_id, below=500)
    assert await world.desk.top_up_all() == 0


async def test_a_warning_of_a_card_network_stops_it(world: PaymentWorld) -> None:
    """The refund that it proposes is open as well."""
    workspace_id, payment = await well_supplied(world)
    warned = world.simulator.order("efw", payment_intent=payment.intent_id)
    await disputes_of(world).converge_warning(warned["id"])
    assert await stopped_by(world, workspace_id) is AutoStop.DISPUTED


async def test_an_approved_refund_stops_it(world: PaymentWorld) -> None:
    """While it is only asked for nothing is bought; once it is approved, never by itself."""
    workspace_id, payment = await well_supplied(world)
    desk = refunds_of(world)
    wanted = Wanted("refund-1", payment.payment_id, 900, RefundReason.REQUESTED_BY_CUSTOMER)
    refund = await desk.ask(world.act(), wanted)
    await world.auto(workspace_id, below=5_000)
    assert await world.desk.top_up_all() == 0
    await desk.approve(world.act(), refund.refund_id)
    assert await stopped_by(world, workspace_id) is AutoStop.REFUNDED


async def test_a_refund_made_at_the_provider_stops_it(world: PaymentWorld) -> None:
    """Whoever gave the money back wants no new charge for it."""
    workspace_id, payment = await well_supplied(world)
    made = await world.gateway.make_refund(
        refund="", intent_id=payment.intent_id, amount=900, key="by-hand-1"
    )
    await refunds_of(world).converge(made.id)
    assert await stopped_by(world, workspace_id) is AutoStop.REFUNDED


@pytest.mark.parametrize("what", ["frozen", "receivable"])
async def test_what_is_frozen_or_owed_is_no_reason_to_buy(world: PaymentWorld, what: str) -> None:
    """By the wallet alone: frozen credit counts as there, and whoever owes buys by hand."""
    workspace_id, _ = await well_supplied(world)
    async with world.database.rpc.transaction("system") as tx:
        await tx.run(
            f"UPDATE wallet SET {what} = :nanos WHERE workspace_id = :id",
            nanos=900 * NANOS_PER_CENT,
            id=to_uuid(workspace_id),
        )
        await tx.commit()
    assert await world.desk.top_up_all() == 0

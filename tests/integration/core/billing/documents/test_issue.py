"""Documents are issued once, numbered without a gap, and never change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import exc

from core.audit import Act
from core.billing.accounts.model import Profile
from core.billing.accounts.service import update_profile
from core.billing.documents import store
from core.billing.documents.html import render_html
from core.billing.documents.model import Document, snapshot_hash
from core.billing.documents.pdf import render_pdf
from kit.reasons import NotFound
from tests.support.money_world import DOLLAR
from tests.support.paid_world import SELLER, PaidWorld


def _content(document: Document) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(document.snapshot)
    return found


async def _stored(world: PaidWorld, document: Document) -> Document:
    async with world.money.database.rpc.transaction("app", document.workspace_id) as tx:
        found = await store.read(tx, document.document_id)
    assert found is not None
    return found


async def test_a_receipt_says_all_that_the_law_wants(world: PaidWorld) -> None:
    """Parties, number, dates, amounts, tax, how it was paid, and the credit after it."""
    workspace = await world.money.workspace()
    await world.account(workspace, name="Customer", country="DE", address="Way 2")
    payment = await world.payment(workspace, 1_000, 190, tax_mode=2)
    receipt = await world.receipt(payment)
    said = _content(receipt)
    assert (receipt.name, said["number"], said["kind"]) == (*("R-2026-000001",) * 2, "receipt")
    assert (said["net"], said["tax"], said["total"]) == ("10.00", "1.90", "11.90")
    assert (said["tax_rate_percent"], said["currency"], said["tax_note"]) == ("19", "USD", "")
    assert (said["seller"]["name"], said["customer"]["name"]) == (SELLER.name, "Customer")
    assert said["issued_at"] == said["payment"]["paid_at"] == "2026-11-20T12:00:00Z"
    assert said["payment"]["method"] == "visa 4242"
    assert said["credit"] == {
        "balance_after": "10.00",
        "debt_after": "0.00",
        "debt_repaid": "0.00",
    }
    assert receipt.snapshot_hash == snapshot_hash(receipt.snapshot)
    assert await _stored(world, receipt) == receipt


async def test_a_receipt_says_what_debt_was_paid(world: PaidWorld) -> None:
    """What the credit of the payment repaid is not in the balance."""
    workspace = await world.money.workspace()
    async with world.money.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE wallet SET receivable = :debt", debt=3 * DOLLAR)
        await tx.commit()
    said = _content(await world.receipt(await world.payment(workspace)))
    assert said["credit"]["debt_repaid"] == "3.00"
    assert said["credit"]["balance_after"] == "7.00"


async def test_a_receipt_is_issued_once(world: PaidWorld) -> None:
    """A repeated call returns the first and takes no number."""
    workspace = await world.money.workspace()
    first, second = await world.payment(workspace), await world.payment(workspace)
    receipt = await world.receipt(first)
    world.money.pass_time(60)
    assert await world.receipt(first) == receipt
    assert (await world.receipt(second)).number == 2


async def test_a_payment_without_credit_has_no_receipt(world: PaidWorld) -> None:
    """Nor has one that is not there."""
    with pytest.raises(NotFound):
        await world.receipt(world.money.ids.new())
    payment = await world.payment(await world.money.workspace())
    refund = await world.refund(payment, 100)
    with pytest.raises(NotFound):
        await world.refund_note(refund)
    assert await world.numbers() == []


async def test_case_69_two_payments_at_once_get_two_numbers(world: PaidWorld) -> None:
    """Twenty payments of five workspaces at once, some of which fail: no gap, no double."""
    workspaces = [await world.money.workspace() for _ in range(5)]
    payments = [await world.payment(each) for each in workspaces for _ in range(4)]

    async def issue(place: int, payment: bytes) -> None:
        async with world.money.database.rpc.transaction("system") as tx:
            # Clocks of several cores differ.
            at = world.money.now + timedelta(milliseconds=(place * 7919) % 50)
            await world.documents.issue_receipt(tx, payment_id=payment, now=at)
            await asyncio.sleep(0.001)
            if place % 3:
                await tx.commit()

    await asyncio.gather(*(issue(*each) for each in enumerate(payments)))
    numbers = await world.numbers()
    assert [number for _, number, _ in numbers] == list(range(1, 14))
    times = [at for _, _, at in numbers]
    assert times == sorted(times)
    # Those that had been rolled back come after them, without a gap.
    for payment in payments:
        await world.receipt(payment)
    assert [number for _, number, _ in await world.numbers()] == list(range(1, 21))


async def test_each_year_has_series_of_its_own(world: PaidWorld) -> None:
    """Numbers start again; what corrects receipts is not among them."""
    workspace = await world.money.workspace()
    first, second = await world.payment(workspace), await world.payment(workspace)
    await world.receipt(first)
    world.money.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert (await world.receipt(second)).name == "R-2027-000001"
    note = await world.refund_note(await world.refund(first, 100))
    assert note.name == "C-2027-000001"


async def test_case_70_a_receipt_stays_what_it_was_after_a_refund(world: PaidWorld) -> None:
    """Same bytes in every format; a credit note comes beside it and refers to it."""
    workspace = await world.money.workspace()
    await world.account(workspace, name="Before", country="DE")
    payment = await world.payment(workspace, 1_000, 190, tax_mode=3)
    receipt = await world.receipt(payment)
    before = (receipt.snapshot, render_html(receipt.snapshot), render_pdf(receipt.snapshot))
    await world.account(workspace, name="After", country="FR")
    world.money.pass_time(86_400)
    note = await world.refund_note(await world.refund(payment, 500, 95))
    again = await _stored(world, receipt)
    after = (again.snapshot, render_html(again.snapshot), render_pdf(again.snapshot))
    assert after == before
    said = _content(note)
    assert (said["net"], said["tax"], said["total"]) == ("5.00", "0.95", "5.95")
    assert said["refers_to"] == {"number": "R-2026-000001", "issued_at": "2026-11-20T12:00:00Z"}
    assert (note.refers_to, said["customer"]["name"]) == (receipt.document_id, "Before")


async def test_case_17_a_failed_refund_voids_its_credit_note(world: PaidWorld) -> None:
    """By a document of its own, once, which refers to the credit note."""
    payment = await world.payment(await world.money.workspace(), 1_000, 190)
    await world.receipt(payment)
    refund = await world.refund(payment, 500, 95)
    note = await world.refund_note(refund)
    world.money.pass_time(86_400)
    reversal = await world.reversal(refund)
    assert await world.reversal(refund) == reversal
    assert (reversal.name, reversal.refers_to) == ("C-2026-000002", note.document_id)
    assert _content(reversal)["total"] == "5.95"


async def test_a_lost_dispute_has_a_credit_note(world: PaidWorld) -> None:
    """Of what went back, which need not be the whole payment."""
    payment = await world.payment(await world.money.workspace(), 1_000, 190)
    await world.receipt(payment)
    dispute = await world.dispute(payment, 595)
    async with world.money.database.rpc.transaction("system") as tx:
        note, again = [
            await world.documents.issue_dispute_note(
                tx, dispute_id=dispute, net=500, tax=95, now=world.money.now
            )
            for _ in range(2)
        ]
        await tx.commit()
    assert note == again
    assert (note.name, _content(note)["total"]) == ("C-2026-000001", "5.95")
    with pytest.raises(NotFound):
        async with world.money.database.rpc.transaction("system") as tx:
            await world.documents.issue_dispute_note(
                tx, dispute_id=payment, net=500, tax=95, now=world.money.now
            )


async def test_case_74_an_erased_profile_leaves_documents_as_the_law_wants(
    world: PaidWorld,
) -> None:
    """The profile is emptied; receipts say what they said, and so do later credit notes."""
    workspace = await world.money.workspace()
    await world.account(workspace, name="A Person", email="person@example.com", country="DE")
    payment = await world.payment(workspace)
    receipt = await world.receipt(payment)
    async with world.money.database.rpc.transaction("system") as tx:
        act = Act("operator", world.money.now, world.money.ids)
        await update_profile(tx, act, workspace, Profile())
        await tx.commit()
    assert _content(await _stored(world, receipt))["customer"]["name"] == "A Person"
    note = await world.refund_note(await world.refund(payment, 100))
    assert _content(note)["customer"]["name"] == "A Person"
    second = await world.receipt(await world.payment(workspace))
    assert _content(second)["customer"]["name"] == ""
    async with world.money.database.rpc.transaction("system") as tx:
        kept = await tx.all(
            "SELECT CAST(t AS text) AS row FROM ledger_txn AS t"
            " UNION ALL SELECT CAST(a AS text) FROM billing_account AS a"
            " UNION ALL SELECT CAST(p AS text) FROM payment AS p"
            " UNION ALL SELECT CAST(l AS text) FROM audit_log AS l"
        )
    assert len(kept) >= 4
    assert not any("Person" in row.row or "person@" in row.row for row in kept)


@pytest.mark.parametrize(
    "statement", ["UPDATE billing_document SET number = 9", "DELETE FROM billing_document"]
)
async def test_nobody_may_change_a_document(world: PaidWorld, statement: str) -> None:
    """The rights of the database forbid it to every role of ours."""
    await world.receipt(await world.payment(await world.money.workspace()))
    with pytest.raises(exc.ProgrammingError) as refused:
        async with world.money.database.rpc.transaction("system") as tx:
            await tx.run(statement)
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


async def test_a_workspace_sees_its_own_documents_only(world: PaidWorld) -> None:
    """Row-level security."""
    mine, theirs = await world.money.workspace(), await world.money.workspace()
    receipt = await world.receipt(await world.payment(mine))
    async with world.money.database.rpc.transaction("app", theirs) as tx:
        assert await store.read(tx, receipt.document_id) is None

"""Payments, refunds and disputes as rows, for tests of what is written about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from core.billing.documents.issue import Documents
from core.billing.documents.model import Document, Party
from core.db.values import to_uuid
from core.ledger.model import GrantKind
from kit.money import NANOS_PER_CENT
from tests.support.money_world import MoneyWorld

SELLER = Party("1API Club Example GmbH", "Example Street 1\n10115 Berlin", "DE", "DE123456789", "")


@dataclass(slots=True)
class PaidWorld:
    """Makes rows of succeeded payments and of what came of them, and issues their documents."""

    money: MoneyWorld
    documents: Documents = field(init=False)

    def __post_init__(self) -> None:
        """Issue in the name of an example seller."""
        self.documents = Documents(SELLER, self.money.ids)

    async def account(self, workspace_id: bytes, **profile: str) -> None:
        """Write the billing profile of a workspace."""
        values = {"name": "", "email": "", "address": "", "country": "", "tax_id": ""} | profile
        await self._run(
            "INSERT INTO billing_account (workspace_id, name, email, address, country, tax_id,"
            " updated_at) VALUES (:workspace, :name, :email, :address, :country, :tax_id, :now)"
            " ON CONFLICT (workspace_id) DO UPDATE SET name = excluded.name,"
            " email = excluded.email, address = excluded.address, country = excluded.country,"
            " tax_id = excluded.tax_id",
            workspace=to_uuid(workspace_id),
            **values,
        )

    async def payment(
        self, workspace_id: bytes, net: int = 1_000, tax: int = 0, *, tax_mode: int = 1
    ) -> bytes:
        """Give paid credit and write the row of the payment that bought it."""
        grant = await self.money.grant(
            workspace_id, net * NANOS_PER_CENT, GrantKind.PAID, tax=tax * NANOS_PER_CENT
        )
        payment_id = self.money.ids.new()
        await self._run(
            "INSERT INTO payment (id, workspace_id, request_id, kind, state, currency, net_minor,"
            " tax_minor, tax_mode, intent_id, charge_id, card_brand, card_last4, grant_id,"
            " created_at, updated_at, checked_at, paid_at) VALUES (:id, :workspace, :request, 1, 4,"
            " 'usd', :net, :tax, :tax_mode, :intent, :charge, 'visa', '4242', :grant, :now, :now,"
            " :now, :now)",
            id=to_uuid(payment_id),
            workspace=to_uuid(workspace_id),
            request=payment_id.hex(),
            net=net,
            tax=tax,
            tax_mode=tax_mode,
            intent=f"pi_{payment_id.hex()}",
            charge=f"ch_{payment_id.hex()}",
            grant=to_uuid(grant.grant_id),
        )
        return payment_id

    async def refund(self, payment_id: bytes, net: int, tax: int = 0) -> bytes:
        """Write the row of a refund that succeeded."""
        refund_id = self.money.ids.new()
        await self._run(
            "INSERT INTO refund (id, workspace_id, payment_id, request_id, origin, state,"
            " net_minor, tax_minor, stripe_id, asked_by, created_at, updated_at, checked_at)"
            " SELECT :id, workspace_id, id, :request, 1, 4, :net, :tax, :stripe, 'operator', :now,"
            " :now, :now FROM payment WHERE id = :payment",
            stripe=f"re_{refund_id.hex()}",
            id=to_uuid(refund_id),
            payment=to_uuid(payment_id),
            request=refund_id.hex(),
            net=net,
            tax=tax,
        )
        return refund_id

    async def dispute(self, payment_id: bytes, amount: int) -> bytes:
        """Write the row of a dispute that was lost."""
        dispute_id = self.money.ids.new()
        await self._run(
            "INSERT INTO dispute (id, workspace_id, payment_id, stripe_id, state, currency,"
            " amount_minor, created_at, updated_at, checked_at)"
            " SELECT :id, workspace_id, id, :stripe, 5, 'usd', :amount, :now, :now, :now"
            " FROM payment WHERE id = :payment",
            id=to_uuid(dispute_id),
            payment=to_uuid(payment_id),
            stripe=f"dp_{dispute_id.hex()}",
            amount=amount,
        )
        return dispute_id

    async def receipt(self, payment_id: bytes) -> Document:
        """Issue the receipt of a payment, in a transaction of its own."""
        async with self.money.database.rpc.transaction("system") as tx:
            document = await self.documents.issue_receipt(
                tx, payment_id=payment_id, now=self.money.now
            )
            await tx.commit()
        return document

    async def refund_note(self, refund_id: bytes) -> Document:
        """Issue the credit note of a refund, in a transaction of its own."""
        async with self.money.database.rpc.transaction("system") as tx:
            document = await self.documents.issue_refund_note(
                tx, refund_id=refund_id, now=self.money.now
            )
            await tx.commit()
        return document

    async def reversal(self, refund_id: bytes) -> Document:
        """Void the credit note of a refund, in a transaction of its own."""
        async with self.money.database.rpc.transaction("system") as tx:
            document = await self.documents.issue_reversal(
                tx, refund_id=refund_id, now=self.money.now
            )
            await tx.commit()
        return document

    async def numbers(self) -> list[tuple[str, int, datetime]]:
        """Read all documents' numbers and times of issue, by series and number."""
        async with self.money.database.rpc.transaction("system") as tx:
            rows = await tx.all(
                "SELECT series, number, issued_at FROM billing_document ORDER BY series, number"
            )
        return [(row.series, row.number, row.issued_at) for row in rows]

    async def _run(self, sql: str, **parameters: object) -> None:
        async with self.money.database.rpc.transaction("system") as tx:
            await tx.run(sql, **parameters, now=self.money.now)
            await tx.commit()

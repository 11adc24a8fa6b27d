"""Receipts and credit notes as values: what they say, and the canonical snapshot of it.

Amounts are minor units (cents) of the payment's currency; what concerns credit is nano-dollars.
The content is the union of EU VAT Directive 2006/112/EC articles 226 (full invoice) and 226b
(simplified invoice), with what a prepaid balance adds: the debt paid and the balance after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import IntEnum
from typing import Final

from kit.canonical import Canonical, encode
from kit.ids import PAYMENT_PREFIX, format_id
from kit.money import divide_half_even, format_dollars
from kit.reasons import InvalidState

FORMAT: Final = "1api.club/billing_document/v1"
SNAPSHOT_LABEL: Final = b"1api.club/billing_document/v1\n"
SERIES_OF_RECEIPTS: Final = "R"
SERIES_OF_CREDIT_NOTES: Final = "C"
NUMBER_DIGITS: Final = 6
MINOR_PER_UNIT: Final = 100
CURRENCIES: Final = frozenset({"usd"})
"""What we sell in. Another currency is quarantined before it is paid for, never converted."""
PPM_PER_PERCENT: Final = 10_000
# A tenth of a percent: a rate that Stripe applied is only known by its result, in cents.
_DERIVED_STEP_PPM: Final = 1_000
EU_COUNTRIES: Final = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)


class DocumentKind(IntEnum):
    """What a document is; the numbers are those of the table and the proto."""

    RECEIPT = 1
    CREDIT_NOTE = 2
    REVERSAL = 3

    @property
    def series(self) -> str:
        """Return the first part of the series; what corrects a receipt is not among them."""
        return SERIES_OF_RECEIPTS if self is DocumentKind.RECEIPT else SERIES_OF_CREDIT_NOTES


class TaxMode(IntEnum):
    """Who says how much tax there is; the numbers are those of `payment.tax_mode`."""

    NONE = 1
    STRIPE = 2
    STATIC_RATE = 3


@dataclass(frozen=True, slots=True)
class Party:
    """A seller or customer as a document names them."""

    name: str
    address: str
    country: str
    tax_id: str
    email: str


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was paid or given back; total = net + tax."""

    currency: str
    net: int
    tax: int
    tax_mode: TaxMode
    tax_rate_ppm: int

    @property
    def total(self) -> int:
        """Return what moved between the customer's bank and ours."""
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class Sale:
    """A succeeded payment: what all of its documents repeat."""

    payment_id: bytes
    workspace_id: bytes
    customer: Party
    amounts: Amounts
    paid_at: datetime
    card_brand: str
    card_last4: str
    reference: str
    debt_repaid: int
    balance_after: int
    debt_after: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was issued; nothing of it ever changes."""

    document_id: bytes
    series: str
    number: int
    kind: DocumentKind
    workspace_id: bytes
    payment_id: bytes
    refund_id: bytes | None
    dispute_id: bytes | None
    refers_to: bytes | None
    snapshot: bytes
    snapshot_hash: bytes
    issued_at: datetime

    @property
    def name(self) -> str:
        """Return the legal number, such as `R-2026-000001`."""
        return document_name(self.series, self.number)


def document_name(series: str, number: int) -> str:
    """Return the legal number of a document."""
    return f"{series}-{number:0{NUMBER_DIGITS}d}"


def series_of(kind: DocumentKind, issued_at: datetime) -> str:
    """Return the series of a year (UTC), such as `R-2026`."""
    return f"{kind.series}-{issued_at.year}"


def snapshot_hash(snapshot: bytes) -> bytes:
    """Return the hash that is kept beside a snapshot."""
    return hashlib.sha256(SNAPSHOT_LABEL + snapshot).digest()


def snapshot_of(
    kind: DocumentKind,
    name: str,
    issued_at: datetime,
    *,
    seller: Party,
    sale: Sale,
    amounts: Amounts,
    refers_to: Document | None,
) -> bytes:
    """Return the canonical JSON of a document: all that it says, as text.

    Raises:
        InvalidState: a currency that we do not sell in.
    """
    customer = sale.customer
    if refers_to is not None:
        # Who sold to whom does not change after the sale, whatever the profile says by now.
        seller, customer = parties_of(refers_to.snapshot)
    credit: dict[str, Canonical] = {
        "balance_after": format_dollars(sale.balance_after),
        "debt_after": format_dollars(sale.debt_after),
    }
    if kind is DocumentKind.RECEIPT:
        credit["debt_repaid"] = format_dollars(sale.debt_repaid)
    content: dict[str, Canonical] = {
        "format": FORMAT,
        "kind": kind.name.lower(),
        "number": name,
        "issued_at": moment(issued_at),
        "seller": _party(seller),
        "customer": _party(customer) | {"workspace_id": format_id("ws", sale.workspace_id)},
        "description": _DESCRIPTIONS[kind],
        "quantity": 1,
        **_amounts(amounts),
        "tax_note": tax_note(seller, customer, amounts),
        "payment": {
            "payment_id": format_id(PAYMENT_PREFIX, sale.payment_id),
            "paid_at": moment(sale.paid_at),
            "method": " ".join(filter(None, (sale.card_brand, sale.card_last4))),
            "reference": sale.reference,
        },
        "refers_to": None
        if refers_to is None
        else {"number": refers_to.name, "issued_at": moment(refers_to.issued_at)},
        "credit": credit,
    }
    return encode(content)


def parties_of(snapshot: bytes) -> tuple[Party, Party]:
    """Return seller and customer as a document named them."""
    content = json.loads(snapshot)
    seller, customer = (
        Party(**{field.name: content[role][field.name] for field in fields(Party)})
        for role in ("seller", "customer")
    )
    return seller, customer


def tax_note(seller: Party, customer: Party, amounts: Amounts) -> str:
    """Return what the law wants said where no tax was added; empty if nothing.

    Between businesses of two member states the customer owes the tax: article 226 (11a) of the
    directive wants the words.
    """
    between_states = (
        {seller.country, customer.country} <= EU_COUNTRIES
        and seller.country != customer.country
        and bool(seller.tax_id and customer.tax_id)
    )
    untaxed = amounts.tax == 0 and amounts.tax_mode is not TaxMode.NONE
    return "Reverse charge" if between_states and untaxed else ""


def moment(at: datetime) -> str:
    """Return a time (UTC) as documents show it, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def minor_text(amount: int, currency: str) -> str:
    """Return an amount of minor units as decimal text, such as `12.30`.

    Raises:
        InvalidState: a currency that we do not sell in; its minor unit may be another part.
    """
    if currency not in CURRENCIES:
        raise InvalidState(currency=currency)
    whole, part = divmod(abs(amount), MINOR_PER_UNIT)
    return f"{'-' if amount < 0 else ''}{whole}.{part:02d}"


def rate_text(amounts: Amounts) -> str:
    """Return the rate of tax in percent, such as `19` or `8.875`.

    Where only the tax is known the rate is what it makes of the net amount, to a tenth of a
    percent.
    """
    ppm = amounts.tax_rate_ppm
    if ppm == 0 and amounts.tax:
        steps = divide_half_even(amounts.tax * 1_000_000, amounts.net * _DERIVED_STEP_PPM)
        ppm = steps * _DERIVED_STEP_PPM
    whole, part = divmod(ppm, PPM_PER_PERCENT)
    return f"{whole}.{part:04d}".rstrip("0").rstrip(".")


def _amounts(amounts: Amounts) -> Mapping[str, Canonical]:
    return {
        "currency": amounts.currency.upper(),
        "net": minor_text(amounts.net, amounts.currency),
        "tax_rate_percent": rate_text(amounts),
        "tax": minor_text(amounts.tax, amounts.currency),
        "total": minor_text(amounts.total, amounts.currency),
    }


def _party(party: Party) -> dict[str, Canonical]:
    return {
        "name": party.name,
        "address": party.address,
        "country": party.country,
        "tax_id": party.tax_id,
        "email": party.email,
    }


_DESCRIPTIONS: Final = {
    DocumentKind.RECEIPT: "Prepaid API credits",
    DocumentKind.CREDIT_NOTE: "Prepaid API credits, given back",
    DocumentKind.REVERSAL: "Prepaid API credits, restored: the money did not reach the customer",
}

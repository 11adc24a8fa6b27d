"""What documents say and how they look: pure functions of their snapshots."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.billing.documents.html import render_html
from core.billing.documents.model import (
    Amounts,
    DocumentKind,
    Party,
    Sale,
    TaxMode,
    minor_text,
    rate_text,
    snapshot_of,
    tax_note,
)
from core.billing.documents.pdf import render_pdf
from kit.reasons import InvalidState

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SELLER = Party("Seller GmbH", "Street 1\n10115 Berlin", "DE", "DE123456789", "")
AMOUNTS = Amounts("usd", 1_000, 190, TaxMode.STATIC_RATE, 190_000)
SALE = Sale(
    payment_id=bytes(16),
    workspace_id=bytes(16),
    customer=Party("Customer", "", "DE", "", ""),
    amounts=AMOUNTS,
    paid_at=AT,
    card_brand="visa",
    card_last4="4242",
    reference="ch_1",
    debt_repaid=0,
    balance_after=10_000_000_000,
    debt_after=0,
)
# What a column of type text can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)


def snapshot(customer: Party = SALE.customer, amounts: Amounts = AMOUNTS) -> bytes:
    """A receipt's snapshot."""
    return snapshot_of(
        DocumentKind.RECEIPT,
        "R-2026-000001",
        AT,
        seller=SELLER,
        sale=replace(SALE, customer=customer),
        amounts=amounts,
        refers_to=None,
    )


@settings(max_examples=25)
@given(TEXTS, TEXTS, TEXTS)
def test_any_name_can_be_printed(name: str, address: str, tax_id: str) -> None:
    """Whatever people are called and wherever they live: no crash, and the snapshot has it all."""
    made = snapshot(Party(name, address, "", tax_id, ""))
    assert json.loads(made)["customer"]["name"] == name
    assert render_pdf(made).startswith(b"%PDF-")
    assert render_html(made).decode()


@pytest.mark.parametrize(
    "name", ["株式会社テスト", "شركة", "Ελλάδα", "Иван", "🎉", "x" * 200, "\u202eevil", "a\tb\rc"]
)
def test_names_in_other_scripts_are_on_the_page(name: str) -> None:
    """In HTML as they are, but for what does not print; in the PDF with boxes where needed."""
    made = snapshot(Party(name, name, "", name, ""))
    assert len(render_pdf(made)) > 1_000
    shown = "".join(each for each in name if each not in "\u202e\t\r")
    assert shown in unescape(render_html(made).decode())


def test_markup_in_a_name_stays_text() -> None:
    """A page can be opened by whoever gets it."""
    page = render_html(snapshot(Party("<script>alert(1)</script>", '"><b>', "", "", ""))).decode()
    assert "<script" not in page
    assert "<b>" not in page


def test_no_character_turns_the_direction_of_writing() -> None:
    """A number could read as another."""
    page = render_html(snapshot(Party("a\u202e00.01\u2066", "", "", "", ""))).decode()
    assert not {"\u202e", "\u2066"} & set(page)


def test_rendering_depends_on_nothing_but_the_snapshot() -> None:
    """Another process, another hash seed, another time zone, another time: the same bytes."""
    program = (
        "import sys, hashlib; from core.billing.documents.pdf import render_pdf;"
        "from core.billing.documents.html import render_html;"
        "made = sys.stdin.buffer.read();"
        "print(hashlib.sha256(render_pdf(made) + render_html(made)).hexdigest())"
    )
    made = snapshot(Party("Ünïcode Иван", "a\nb", "FR", "FR1", "x@example.com"))
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        input=made,
        env=os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=True,
    )
    here = hashlib.sha256(render_pdf(made) + render_html(made)).hexdigest()
    assert elsewhere.stdout.decode().strip() == here


@pytest.mark.parametrize(
    ("seller", "customer", "mode", "tax", "note"),
    [
        ("DE", Party("", "", "FR", "FR1", ""), TaxMode.STRIPE, 0, "Reverse charge"),
        ("DE", Party("", "", "FR", "FR1", ""), TaxMode.STRIPE, 190, ""),
        ("DE", Party("", "", "FR", "FR1", ""), TaxMode.NONE, 0, ""),
        ("DE", Party("", "", "FR", "", ""), TaxMode.STRIPE, 0, ""),
        ("DE", Party("", "", "DE", "DE1", ""), TaxMode.STRIPE, 0, ""),
        ("DE", Party("", "", "US", "1", ""), TaxMode.STRIPE, 0, ""),
        ("US", Party("", "", "DE", "DE1", ""), TaxMode.STRIPE, 0, ""),
    ],
)
def test_reverse_charge_is_said_between_businesses_of_two_member_states(
    seller: str, customer: Party, mode: TaxMode, tax: int, note: str
) -> None:
    """And nowhere else."""
    amounts = Amounts("usd", 1_000, tax, mode, 0)
    assert tax_note(replace(SELLER, country=seller), customer, amounts) == note


@pytest.mark.parametrize(
    ("net", "tax", "ppm", "text"),
    [
        (1_000, 190, 190_000, "19"),
        (1_000, 89, 88_750, "8.875"),
        (1_000, 190, 0, "19"),
        (1_000, 89, 0, "8.9"),
        (1_000, 0, 0, "0"),
        (3, 1, 0, "33.3"),
    ],
)
def test_the_rate_is_the_one_applied(net: int, tax: int, ppm: int, text: str) -> None:
    """Or what the tax makes of the net amount, where Stripe computed it."""
    assert rate_text(Amounts("usd", net, tax, TaxMode.STRIPE, ppm)) == text


@given(st.integers(-(10**15), 10**15))
def test_minor_units_are_shown_exactly(amount: int) -> None:
    """To the cent, negative ones too."""
    text = minor_text(amount, "usd")
    assert int(text.replace(".", "")) == amount
    assert text[-3] == "."


def test_another_currency_is_refused() -> None:
    """Its minor unit may be another part of it: a yen has none."""
    with pytest.raises(InvalidState):
        minor_text(100, "jpy")

"""What a document shows, in order, made of its snapshot: the same for every format."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = tuple[str, str]

# Control, surrogate and private characters, and format characters such as those that turn the
# direction of writing: none of them prints, some make a number read as another.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_TITLES: Final = {
    "receipt": "Receipt",
    "credit_note": "Credit note",
    "reversal": "Cancellation of a credit note",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The parts of a page, all of them text."""

    title: str
    number: str
    note: str
    heading: Sequence[Row]
    parties: Sequence[tuple[str, Sequence[str]]]
    amounts: Sequence[Row]
    tax_note: str
    details: Sequence[Row]


def sheet_of(snapshot: bytes) -> Sheet:
    """Return what a document shows."""
    content: Mapping[str, Any] = json.loads(snapshot)
    return Sheet(
        title=_TITLES[content["kind"]],
        number=content["number"],
        note=_note(content),
        heading=[("Number", content["number"]), ("Date of issue", content["issued_at"][:10])],
        parties=[
            ("Seller", _party(content["seller"])),
            ("Customer", [*_party(content["customer"]), content["customer"]["workspace_id"]]),
        ],
        amounts=_amounts(content),
        tax_note=content["tax_note"],
        details=_details(content),
    )


def printable(text: str) -> str:
    """Return a text without characters that do not print."""
    return "".join(each for each in text if unicodedata.category(each) not in _UNPRINTABLE)


def _note(content: Mapping[str, Any]) -> str:
    before = content["refers_to"]
    if before is None:
        return ""
    what = "Cancels credit note" if content["kind"] == "reversal" else "Refers to receipt"
    return f"{what} {before['number']} of {before['issued_at'][:10]}."


def _party(party: Mapping[str, str]) -> list[str]:
    lines = [party["name"], *party["address"].splitlines(), party["country"]]
    if party["tax_id"]:
        lines.append(f"Tax id {party['tax_id']}")
    lines.append(party["email"])
    return [line for line in map(printable, lines) if line.strip()]


def _amounts(content: Mapping[str, Any]) -> list[Row]:
    currency = content["currency"]
    described = f"{content['quantity']} x {content['description']}"
    return [
        (described, f"{content['net']} {currency}"),
        ("Net", f"{content['net']} {currency}"),
        (f"Tax {content['tax_rate_percent']} %", f"{content['tax']} {currency}"),
        (_TOTALS[content["kind"]], f"{content['total']} {currency}"),
    ]


def _details(content: Mapping[str, Any]) -> list[Row]:
    payment, credit = content["payment"], content["credit"]
    rows = [
        ("Date of payment", payment["paid_at"][:10]),
        ("Payment method", payment["method"]),
        ("Payment reference", payment["reference"]),
        ("Payment", payment["payment_id"]),
        ("Debt paid by this payment", _if_any(credit.get("debt_repaid", "0.00"))),
        ("Credit after this", f"{credit['balance_after']} USD"),
        ("Debt after this", _if_any(credit["debt_after"])),
    ]
    return [(label, value) for label, value in rows if value]


def _if_any(amount: str) -> str:
    return "" if amount == "0.00" else f"{amount} USD"


_TOTALS: Final = {
    "receipt": "Total paid",
    "credit_note": "Total given back",
    "reversal": "Total restored",
}

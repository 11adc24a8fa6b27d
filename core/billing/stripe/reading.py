"""Reads what the provider answers into our values: the fields we know, and nothing else.

An answer without one of them, or of another type, raises (KeyError, TypeError, ValueError); the
adapter takes that as no answer at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from core.billing.stripe.gateway import (
    BalanceTransaction,
    Charge,
    Checkout,
    Intent,
    IntentStatus,
    StripeDispute,
    StripeEvent,
    StripeRefund,
    StripeWarning,
    TaxQuote,
)

Answer = Mapping[str, Any]

PAYMENT_KEY: Final = "oneapi_payment"
"""The metadata entry that names our row of a payment."""
REFUND_KEY: Final = "oneapi_refund"
WORKSPACE_KEY: Final = "oneapi_workspace"
PPM_PER_PERCENT: Final = 10_000
PPM_MAX: Final = 1_000_000
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_WORD: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
_TYPE: Final = re.compile(r"[a-z0-9_.]{1,128}", re.ASCII)
_THIN: Final = "v2.core.event"


def intent_of(answer: Answer) -> Intent:
    """Read a PaymentIntent whose latest charge was expanded, or that has none."""
    charge = answer.get("latest_charge")
    return Intent(
        id=identifier(answer["id"]),
        status=IntentStatus(answer["status"]),
        amount=_number(answer["amount"]),
        currency=_currency(answer["currency"]),
        customer_id=reference(answer.get("customer")),
        method_id=reference(answer.get("payment_method")),
        payment_id=_named(answer, PAYMENT_KEY),
        livemode=bool(answer["livemode"]),
        failure=_failure(answer.get("last_payment_error")),
        charge=charge_of(charge) if isinstance(charge, Mapping) else None,
    )


def charge_of(answer: Answer) -> Charge:
    """Read a charge."""
    card = (answer.get("payment_method_details") or {}).get("card") or {}
    return Charge(
        id=identifier(answer["id"]),
        amount=_number(answer["amount"]),
        currency=_currency(answer["currency"]),
        paid=bool(answer["paid"]),
        card_brand=word(card.get("brand")),
        card_last4=_last4(card.get("last4")),
        balance_transaction=_movement(answer.get("balance_transaction")),
    )


def checkout_of(answer: Answer) -> Checkout:
    """Read a Checkout Session."""
    details = answer.get("total_details") or {}
    return Checkout(
        id=identifier(answer["id"]),
        url=str(answer.get("url") or ""),
        status=word(answer["status"]),
        payment_status=word(answer["payment_status"]),
        intent_id=reference(answer.get("payment_intent")),
        payment_id=_named(answer, PAYMENT_KEY),
        customer_id=reference(answer.get("customer")),
        amount=_number(answer["amount_total"]),
        tax=_number(details.get("amount_tax") or 0),
        tax_rate_ppm=_rate_of_page(details.get("breakdown") or {}),
        currency=_currency(answer["currency"]),
        livemode=bool(answer["livemode"]),
    )


def refund_of(answer: Answer) -> StripeRefund:
    """Read a refund whose balance transactions were expanded."""
    return StripeRefund(
        id=identifier(answer["id"]),
        status=word(answer.get("status")),
        amount=_number(answer["amount"]),
        currency=_currency(answer["currency"]),
        charge_id=reference(answer.get("charge")),
        intent_id=reference(answer.get("payment_intent")),
        refund_id=_named(answer, REFUND_KEY),
        failure=word(answer.get("failure_reason")),
        balance_transaction=_movement(answer.get("balance_transaction")),
        failure_balance_transaction=_movement(answer.get("failure_balance_transaction")),
    )


def dispute_of(answer: Answer) -> StripeDispute:
    """Read a dispute."""
    details = answer.get("evidence_details") or {}
    due = details.get("due_by")
    movements = answer.get("balance_transactions") or ()
    return StripeDispute(
        id=identifier(answer["id"]),
        status=word(answer["status"]),
        reason=word(answer.get("reason")),
        amount=_number(answer["amount"]),
        currency=_currency(answer["currency"]),
        charge_id=reference(answer.get("charge")),
        intent_id=reference(answer.get("payment_intent")),
        created_at=_moment(answer["created"]),
        due_at=None if due is None else _moment(due),
        submissions=_number(details.get("submission_count") or 0),
        balance_transactions=tuple(movement_of(each) for each in movements),
    )


def warning_of(answer: Answer) -> StripeWarning:
    """Read an early fraud warning."""
    return StripeWarning(
        id=identifier(answer["id"]),
        charge_id=reference(answer["charge"]),
        kind=word(answer.get("fraud_type")),
        actionable=bool(answer["actionable"]),
        created_at=_moment(answer["created"]),
    )


def movement_of(answer: Answer) -> BalanceTransaction:
    """Read a movement of our balance."""
    return BalanceTransaction(
        id=identifier(answer["id"]),
        type=word(answer["type"]),
        source_id=reference(answer.get("source")),
        amount=_number(answer["amount"]),
        fee=_number(answer["fee"]),
        net=_number(answer["net"]),
        currency=_currency(answer["currency"]),
        created_at=_moment(answer["created"]),
    )


def quote_of(answer: Answer) -> TaxQuote:
    """Read a calculated tax with its rate."""
    return TaxQuote(
        id=identifier(answer["id"]),
        tax=_number(answer["tax_amount_exclusive"]),
        rate_ppm=_ppm(
            (part.get("tax_rate_details") or {}).get("percentage_decimal")
            for part in answer.get("tax_breakdown") or ()
            if part["amount"]
        ),
    )


def _rate_of_page(breakdown: Answer) -> int:
    """Return the rate of what a page added: what was applied, not what the law names besides."""
    rates = [part["rate"] for part in breakdown.get("taxes") or () if part["amount"]]
    applied = (rate.get("effective_percentage") for rate in rates)
    said = (rate.get("percentage") for rate in rates)
    return _ppm(one if one is not None else other for one, other in zip(applied, said, strict=True))


def _ppm(percentages: Iterable[object]) -> int:
    """Return the sum of percentages in millionths: rates of several jurisdictions add up.

    0 if one of them is not said: a tax of a flat amount has none. A number of JSON is read by its
    digits; as a float it would be another one.
    """
    total = Decimal(0)
    for percentage in percentages:
        if percentage is None:
            return 0
        total += Decimal(str(percentage))
    ppm = int((total * PPM_PER_PERCENT).to_integral_value(ROUND_HALF_EVEN))
    return ppm if 0 <= ppm <= PPM_MAX else 0


def balance_of(answer: Answer) -> dict[str, int]:
    """Add up what is available and pending, by currency."""
    sums: dict[str, int] = {}
    for part in (*answer["available"], *answer["pending"]):
        currency = _currency(part["currency"])
        sums[currency] = sums.get(currency, 0) + _number(part["amount"])
    return sums


def event_of(answer: Answer) -> StripeEvent:
    """Read an event, whole or thin; the object of one that has no id is the empty text."""
    if answer["object"] == _THIN:
        return _thin_event(answer)
    about = answer["data"]["object"]
    return StripeEvent(
        id=identifier(answer["id"]),
        type=_event_type(answer["type"]),
        object_id=identifier(about["id"]) if about.get("id") else "",
        livemode=bool(answer["livemode"]),
        created_at=_moment(answer["created"]),
    )


def _thin_event(answer: Answer) -> StripeEvent:
    about = answer.get("related_object") or {}
    return StripeEvent(
        id=identifier(answer["id"]),
        type=_event_type(answer["type"].removeprefix("v1.")),
        object_id=identifier(about["id"]) if about.get("id") else "",
        livemode=bool(answer["livemode"]),
        created_at=datetime.fromisoformat(answer["created"]).astimezone(UTC),
    )


def pages_of(answer: Answer) -> tuple[Sequence[Answer], bool]:
    """Read a page of a list and whether there is more."""
    return tuple(answer["data"]), bool(answer["has_more"])


def identifier(value: object) -> str:
    """Return an id of the provider's.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError
    return value


def reference(value: object) -> str:
    """Return the id of an object that may be expanded, or absent: then the empty text."""
    if isinstance(value, Mapping):
        value = value["id"]
    return "" if value is None else identifier(value)


def word(value: object) -> str:
    """Return a word of the provider's, the empty text for what is none."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _event_type(value: object) -> str:
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        raise ValueError
    return value


def _failure(error: object) -> str:
    if not isinstance(error, Mapping):
        return ""
    # `authentication_required` is a code of its own; of a decline the bank's word says more.
    return word(error.get("decline_code")) or word(error.get("code"))


def _movement(value: object) -> BalanceTransaction | None:
    return movement_of(value) if isinstance(value, Mapping) else None


def _named(answer: Answer, key: str) -> str:
    named = (answer.get("metadata") or {}).get(key, "")
    return identifier(named) if named else ""


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _currency(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]{3}", value, re.ASCII):
        raise ValueError
    return value


def _last4(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9]{4}", value, re.ASCII) else ""


def _moment(value: object) -> datetime:
    return datetime.fromtimestamp(_number(value), UTC)

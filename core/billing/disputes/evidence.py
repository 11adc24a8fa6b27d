"""What speaks for us in a dispute: that the service was used after it was paid. Metadata only.

Usage is told by day, key and model. The hour of the payment is counted request by request, so that
nothing from before it is claimed; whole hours come from the hourly sums, and whole months where
usage is archived: then nothing is claimed of the payment's own month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.billing.disputes import evidence_store
from core.billing.disputes.evidence_store import Use, Uses
from core.billing.disputes.model import Dispute
from core.billing.paid import PaidPayment
from core.billing.refunds.service import grant_of
from core.db.database import Transaction
from kit.clock import to_micros
from kit.ids import format_id, uuid7_floor
from kit.money import format_dollars

LOG_CHARACTERS_MAX: Final = 19_000
"""The provider takes 20,000 in each of its texts."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The bundle. Amounts are nano-dollars."""

    dispute_id: bytes
    paid_at: datetime
    bought: int
    used: int
    documents: tuple[str, ...]
    first_used_at: datetime | None
    last_used_at: datetime | None
    uses: Uses


async def gather(tx: Transaction, dispute: Dispute, payment: PaidPayment) -> Evidence:
    """Put the evidence about a dispute together."""
    paid_at = payment.paid_at or dispute.created_at
    hour = paid_at.replace(minute=0, second=0, microsecond=0)
    if hour < paid_at:
        hour += timedelta(hours=1)
    since = _floor(paid_at)
    uses = await evidence_store.uses(
        tx, dispute.workspace_id, since=since, hour=hour, hour_id=_floor(hour)
    )
    first, last = await evidence_store.bounds(tx, dispute.workspace_id, since)
    grant_id = grant_of(payment)
    return Evidence(
        dispute_id=dispute.dispute_id,
        paid_at=paid_at,
        bought=payment.whole.net_nanos,
        used=await evidence_store.used_of_grant(tx, grant_id),
        documents=await evidence_store.document_names(tx, payment.payment_id),
        first_used_at=first,
        last_used_at=last,
        uses=uses,
    )


def texts(evidence: Evidence, payment_name: str) -> Mapping[str, str]:
    """Return the evidence in the provider's fields, in our words."""
    summary = (
        f"Prepaid API credits of {format_dollars(evidence.bought)} USD were bought at"
        f" {_time(evidence.paid_at)} (payment {payment_name}) and credited at once."
        f" {format_dollars(evidence.used)} USD of them are used."
        f" After the purchase the account sent {evidence.uses.requests} authenticated API requests"
        f" charged {format_dollars(evidence.uses.charges)} USD"
        f"{_span(evidence)}. Documents issued: {', '.join(evidence.documents) or 'none'}."
    )
    fields = {
        "product_description": "Prepaid credits for an API to AI models, delivered at once.",
        "service_date": f"{evidence.paid_at:%Y-%m-%d}",
        "access_activity_log": "\n".join(_log(evidence.uses)),
        "uncategorized_text": summary,
    }
    return {name: text for name, text in fields.items() if text}


def _log(uses: Uses) -> list[str]:
    lines, room = [], LOG_CHARACTERS_MAX
    for line in map(_line, uses.shown):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    left_out = uses.omitted + len(uses.shown) - len(lines)
    return [*lines, f"and {left_out} lines more"] if left_out else lines


def _line(use: Use) -> str:
    key = format_id("key", use.key_id)[:12]
    charges = format_dollars(use.charges)
    return f"{use.when} {key} {use.model} requests {use.requests} USD {charges}"


def _span(evidence: Evidence) -> str:
    if evidence.first_used_at is None or evidence.last_used_at is None:
        return ""
    return f", from {_time(evidence.first_used_at)} to {_time(evidence.last_used_at)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _floor(moment: datetime) -> bytes:
    """Return the first id of the millisecond at or after a moment."""
    return uuid7_floor(-(-to_micros(moment) // 1_000))

"""What speaks for us in a dispute: that the service was used after it was paid. Metadata only.

Usage is told by day, key and model. The hour of the payment is counted request by request, so that
nothing from before it is claimed; whole hours come from the hourly sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.billing.disputes import evidence_store
from core.billing.disputes.evidence_store import Use
from core.billing.disputes.model import Dispute
from core.billing.paid import PaidPayment
from core.billing.refunds.service import grant_of
from core.db.database import Transaction
from kit.clock import to_micros
from kit.ids import format_id, uuid7_floor
from kit.money import format_dollars

USES_MAX: Final = 1_000
_LOG_LINES_MAX: Final = 300
"""About 20,000 characters, the limit of one of the provider's texts."""


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
    uses: tuple[Use, ...]

    @property
    def requests(self) -> int:
        """Return the number of all requests after it was paid."""
        return sum(use.requests for use in self.uses)

    @property
    def charges(self) -> int:
        """Return what they cost."""
        return sum(use.charges for use in self.uses)


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
        f" After the purchase the account sent {evidence.requests} authenticated API requests"
        f" charged {format_dollars(evidence.charges)} USD"
        f"{_span(evidence)}. Documents issued: {', '.join(evidence.documents) or 'none'}."
    )
    return {
        "product_description": "Prepaid credits for an API to AI models, delivered at once.",
        "service_date": f"{evidence.paid_at:%Y-%m-%d}",
        "access_activity_log": "\n".join(_log(evidence.uses)),
        "uncategorized_text": summary,
    }


def _log(uses: Sequence[Use]) -> list[str]:
    lines = [
        f"{use.day:%Y-%m-%d} {format_id('key', use.key_id)[:12]} {use.model}"
        f" requests {use.requests} USD {format_dollars(use.charges)}"
        for use in uses[:_LOG_LINES_MAX]
    ]
    left_out = len(uses) - len(lines)
    return [*lines, f"and {left_out} lines more"] if left_out else lines


def _span(evidence: Evidence) -> str:
    if evidence.first_used_at is None or evidence.last_used_at is None:
        return ""
    return f", from {_time(evidence.first_used_at)} to {_time(evidence.last_used_at)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _floor(moment: datetime) -> bytes:
    """Return the first id of the millisecond at or after a moment."""
    return uuid7_floor(-(-to_micros(moment) // 1_000))

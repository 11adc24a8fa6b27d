"""A dispute, its states, and what its money calls for. Pure; amounts in minor units (cents)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Final

from core.billing.shares import Share, share_of_gross

PREFIX: Final = "dsp"
LOOK_AGAIN_AFTER: Final = timedelta(hours=1)
"""A dispute that is not settled is compared with the provider's this often."""


class DisputeState(IntEnum):
    """Where a dispute stands; the numbers are those of the proto."""

    INQUIRY = 1
    OPEN = 2
    UNDER_REVIEW = 3
    WON = 4
    LOST = 5
    INQUIRY_CLOSED = 6
    PREVENTED = 7

    @property
    def is_final(self) -> bool:
        """Say whether the bank has decided, or never will."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {
        DisputeState.WON,
        DisputeState.LOST,
        DisputeState.INQUIRY_CLOSED,
        DisputeState.PREVENTED,
    }
)
_STATES: Final = {
    "warning_needs_response": DisputeState.INQUIRY,
    "warning_under_review": DisputeState.INQUIRY,
    "warning_closed": DisputeState.INQUIRY_CLOSED,
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.UNDER_REVIEW,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
    "prevented": DisputeState.PREVENTED,
}
BARRING: Final = (DisputeState.OPEN, DisputeState.UNDER_REVIEW, DisputeState.LOST)
"""While a payment's dispute stands so, the provider refunds nothing of it."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A payment that a cardholder's bank disputes.

    `frozen_nanos` is what is frozen for it now, `lost` what it took of the payment for good.
    """

    dispute_id: bytes
    workspace_id: bytes
    payment_id: bytes
    stripe_id: str
    state: DisputeState
    reason: str
    currency: str
    amount: int
    withdrawn: int
    reinstated: int
    up_to_nanos: int
    frozen_nanos: int
    owed_nanos: int
    lost: Share
    evidence_due_at: datetime | None
    evidence_sent_at: datetime | None
    created_at: datetime
    updated_at: datetime
    checked_at: datetime
    closed_at: datetime | None

    @property
    def moved(self) -> int:
        """Return what is away of our balance because of it, without fees."""
        return self.withdrawn - self.reinstated


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """An early warning of a card network about a payment."""

    warning_id: bytes
    stripe_id: str
    workspace_id: bytes
    payment_id: bytes
    kind: str
    actionable: bool
    created_at: datetime


class Step(Enum):
    """What a dispute's money calls for now."""

    NOTHING = "an inquiry: nobody took anything"
    FREEZE = "what is disputed must stay until it is decided"
    LOSE = "the money is gone for good"
    THAW = "the money is here"
    WAIT = "decided, and the money has not come back yet"


def state_of(status: str) -> DisputeState | None:
    """Return what a status word of the provider means; None for one that we do not know."""
    return _STATES.get(status)


def newer_state(known: DisputeState, seen: DisputeState) -> DisputeState:
    """Return the later of two states: what is final stays final, whatever was fetched before."""
    return known if known.is_final and not seen.is_final else seen


def moved_of(amounts: Iterable[int]) -> tuple[int, int]:
    """Return what was withdrawn and what was reinstated, from signed movements of our balance."""
    out, back = 0, 0
    for amount in amounts:
        out += max(0, -amount)
        back += max(0, amount)
    return out, back


def step_of(state: DisputeState, withdrawn: int, reinstated: int) -> Step:
    """Return what is to be done: by where the money is, and only then by what words say.

    A dispute may be called lost although nothing was taken, because the payment had been refunded
    before: then nothing is lost. What comes back of a dispute that was won may differ from what was
    taken, by the provider's exchange.
    """
    if state is DisputeState.INQUIRY and withdrawn <= reinstated:
        return Step.NOTHING
    if not state.is_final:
        return Step.FREEZE
    if withdrawn <= reinstated:
        return Step.THAW
    if state is DisputeState.LOST:
        return Step.LOSE
    return Step.THAW if reinstated > 0 else Step.WAIT


def disputed_share(whole: Share, gone: Share, amount: int, withdrawn: int) -> Share:
    """Return the credit and tax in what is disputed: what was taken, or is said to be.

    Never more than what refunds and other disputes left: the rest is the provider's exchange and
    fees.
    """
    left = whole.without(gone)
    gross = min(withdrawn or amount, left.gross)
    return share_of_gross(whole, gone, gross) if gross > 0 else Share(0, 0)

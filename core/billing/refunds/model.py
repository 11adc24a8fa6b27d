"""A refund, its states, and the rules about them. Pure; amounts in minor units (cents)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Final

from core.billing.shares import Share
from kit.reasons import InvalidState

PREFIX: Final = "refund"
ASKED_AT_PROVIDER: Final = "stripe"
"""Who asked for a refund that was made without us."""
TRY_AGAIN_AFTER: Final = timedelta(seconds=30)
"""An approved refund that the provider has not confirmed is sent again after this."""
LOOK_AGAIN_AFTER: Final = timedelta(hours=1)
"""A refund on its way is compared with the provider's this often, should no event tell of it."""
RECALL_FOR: Final = timedelta(hours=2)
"""Credit is recalled from leases for this long: the longest request ends well before."""
NEXT_KEY_AFTER: Final = timedelta(hours=1)
"""A key whose call was never answered is given up after this, and a negative search."""


class RefundOrigin(IntEnum):
    """Where a refund comes from; the numbers are those of the proto."""

    ASKED = 1
    PROVIDER = 2


class RefundState(IntEnum):
    """Where a refund stands; the numbers are those of the proto."""

    REQUESTED = 1
    APPROVED = 2
    PENDING = 3
    SUCCEEDED = 4
    FAILED = 5
    REJECTED = 6
    RECALLING = 7


class RefundReason(IntEnum):
    """Why a refund is made; the numbers are those of the proto."""

    UNSPECIFIED = 0
    REQUESTED_BY_CUSTOMER = 1
    DUPLICATE = 2
    FRAUDULENT = 3


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a payment that goes back, with the credit that it bought."""

    refund_id: bytes
    workspace_id: bytes
    payment_id: bytes
    request_id: str
    origin: RefundOrigin
    state: RefundState
    share: Share
    reason: RefundReason
    attempt: int
    stripe_id: str
    asked_by: str
    decided_by: str
    failure: str
    created_at: datetime
    updated_at: datetime
    checked_at: datetime
    decided_at: datetime | None

    @property
    def idempotency_key(self) -> str:
        """Return the key under which the provider makes it once."""
        return f"refund:{self.refund_id.hex()}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class RefundedPart:
    """What one refund takes of a payment: known to the provider, or so far only asked for."""

    share: Share
    is_sent: bool
    is_asked: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; no amount means all that can go back."""

    request_id: str
    payment_id: bytes
    net_minor: int | None
    reason: RefundReason


class Effect(Enum):
    """A movement of money that a refund at the provider calls for."""

    SENT = "the money left our balance there"
    RETURNED = "it came back"
    RELEASED = "it never left, and never will"


@dataclass(frozen=True, slots=True)
class Sight:
    """A refund at the provider, as its movements of our balance tell it."""

    has_left: bool
    has_returned: bool
    is_done: bool
    is_dead: bool


def settle(state: RefundState, seen: Sight) -> tuple[RefundState, tuple[Effect, ...]]:
    """Return where a refund stands after a look at the provider's, and what is to be posted.

    Movements of our balance decide, not words. A look that is older than what is known changes
    nothing: a refund that has succeeded can only fail, and one that has failed stays so.
    """
    if state is RefundState.SUCCEEDED and seen.has_returned:
        return RefundState.FAILED, (Effect.RETURNED,)
    if state not in (RefundState.APPROVED, RefundState.PENDING):
        return state, ()
    if seen.has_left and seen.has_returned:
        return RefundState.FAILED, (Effect.SENT, Effect.RETURNED)
    if seen.has_left:
        after = RefundState.SUCCEEDED if seen.is_done else RefundState.PENDING
        return after, (Effect.SENT,)
    if seen.is_dead:
        return RefundState.FAILED, (Effect.RELEASED,)
    return RefundState.PENDING, ()


def check_may_be_asked(paid_at: datetime | None, now: datetime, days: int) -> None:
    """Refuse a refund of what was not paid, or too long ago.

    Raises:
        InvalidState: `cause` says which.
    """
    if paid_at is None:
        raise InvalidState(cause="payment_not_paid")
    if now - paid_at > timedelta(days=days):
        raise InvalidState(cause="refund_window_over", days=days)

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
"""A key whose call was never answered is used for this long; then it falls silent."""
CALL_MAX: Final = timedelta(minutes=5)
"""Longer than any call to the provider takes, its repetitions included."""


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
    wanted_net: int | None
    attempt: int
    last_sent_at: datetime | None
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

    def answers(self, wanted: Wanted) -> bool:
        """Say whether it is what a repeated call asks for."""
        mine = (self.origin, self.payment_id, self.wanted_net, self.reason)
        return mine == (
            RefundOrigin.ASKED,
            wanted.payment_id,
            wanted.net_minor,
            wanted.reason,
        )


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


class NextCall(Enum):
    """What may be done about a refund that the provider did not confirm."""

    SAME_KEY = "whatever is under way has this key as well, so one refund is made"
    NEXT_KEY = "no call is under way, and the search found nothing that the last ones made"
    NONE = "a call with the old key may still be under way: look, but do not call"


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


def next_call(refund: Refund, now: datetime, *, searched_at: datetime | None) -> NextCall:
    """Return how the provider may be called for an approved refund.

    A key is of use for an hour from when the refund got it (`updated_at`). Then nothing is sent for
    longer than a call takes, so that the search that follows sees all that was made under it.
    """
    if refund.last_sent_at is None or now - refund.updated_at < NEXT_KEY_AFTER:
        return NextCall.SAME_KEY
    if searched_at is None or searched_at - refund.last_sent_at <= CALL_MAX:
        return NextCall.NONE
    return NextCall.NEXT_KEY


def check_may_be_asked(paid_at: datetime | None, now: datetime, days: int) -> None:
    """Refuse a refund of what was not paid, or too long ago.

    Raises:
        InvalidState: `cause` says which.
    """
    if paid_at is None:
        raise InvalidState(cause="payment_not_paid")
    if now - paid_at > timedelta(days=days):
        raise InvalidState(cause="refund_window_over", days=days)

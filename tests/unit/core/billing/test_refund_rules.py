"""Where a refund stands after a look at the provider's: movements decide, and old looks do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing.refunds.model import (
    Effect,
    RefundState,
    Sight,
    check_may_be_asked,
    settle,
)
from kit.reasons import InvalidState

NOW = datetime(2026, 11, 20, tzinfo=UTC)
PENDING = Sight(has_left=False, has_returned=False, is_done=False, is_dead=False)
LEFT = Sight(has_left=True, has_returned=False, is_done=False, is_dead=False)
DONE = Sight(has_left=True, has_returned=False, is_done=True, is_dead=False)
DEAD = Sight(has_left=False, has_returned=False, is_done=False, is_dead=True)
DEAD_ON_ITS_WAY = Sight(has_left=True, has_returned=False, is_done=False, is_dead=True)
RETURNED = Sight(has_left=True, has_returned=True, is_done=False, is_dead=True)
LIFE = (PENDING, LEFT, DONE, DEAD_ON_ITS_WAY, RETURNED)
"""What a refund goes through that fails late; it may be looked at in any order."""


@pytest.mark.parametrize(
    ("seen", "state", "effects"),
    [
        (PENDING, RefundState.PENDING, ()),
        (LEFT, RefundState.PENDING, (Effect.SENT,)),
        (DONE, RefundState.SUCCEEDED, (Effect.SENT,)),
        (DEAD, RefundState.FAILED, (Effect.RELEASED,)),
        (DEAD_ON_ITS_WAY, RefundState.PENDING, (Effect.SENT,)),
        (RETURNED, RefundState.FAILED, (Effect.SENT, Effect.RETURNED)),
    ],
)
@pytest.mark.parametrize("before", [RefundState.APPROVED, RefundState.PENDING])
def test_an_open_refund_follows_the_money(
    before: RefundState, seen: Sight, state: RefundState, effects: tuple[Effect, ...]
) -> None:
    """A word such as `failed` moves nothing while the money is away."""
    assert settle(before, seen) == (state, effects)


def test_a_refund_that_succeeded_can_only_come_back() -> None:
    """Whatever else is fetched late."""
    for seen in (PENDING, LEFT, DONE, DEAD, DEAD_ON_ITS_WAY):
        assert settle(RefundState.SUCCEEDED, seen) == (RefundState.SUCCEEDED, ())
    assert settle(RefundState.SUCCEEDED, RETURNED) == (RefundState.FAILED, (Effect.RETURNED,))


@given(st.lists(st.sampled_from(LIFE), max_size=8))
def test_looks_in_any_order_end_alike(looks: list[Sight]) -> None:
    """After the last look is in, the money left once and came back once."""
    state = RefundState.APPROVED
    posted: set[Effect] = set()
    for seen in (*looks, RETURNED):
        state, effects = settle(state, seen)
        posted.update(effects)
    assert state is RefundState.FAILED
    assert posted == {Effect.SENT, Effect.RETURNED}


@pytest.mark.parametrize(
    "state",
    [RefundState.REQUESTED, RefundState.REJECTED, RefundState.RECALLING, RefundState.FAILED],
)
def test_a_refund_of_which_nothing_is_away_stays(state: RefundState) -> None:
    """Nothing was reserved, or all came back."""
    assert settle(state, RETURNED) == (state, ())


def test_a_refund_may_be_asked_within_its_days() -> None:
    """On the last day, not after it; never of what was not paid."""
    check_may_be_asked(NOW - timedelta(days=30), NOW, 30)
    with pytest.raises(InvalidState) as late:
        check_may_be_asked(NOW - timedelta(days=30, seconds=1), NOW, 30)
    assert late.value.metadata["cause"] == "refund_window_over"
    with pytest.raises(InvalidState) as unpaid:
        check_may_be_asked(None, NOW, 30)
    assert unpaid.value.metadata["cause"] == "payment_not_paid"

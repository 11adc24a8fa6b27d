"""What a dispute calls for: where its money is comes before what its words say."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing.disputes.model import (
    DisputeState,
    Step,
    disputed_share,
    moved_of,
    newer_state,
    state_of,
    step_of,
)
from core.billing.shares import NOTHING, Share

WORDS = (
    *("warning_needs_response", "warning_under_review", "warning_closed", "needs_response"),
    *("under_review", "won", "lost", "prevented"),
)


def test_every_word_of_the_provider_is_known() -> None:
    """Of the API version that we speak; a new one is no state of ours."""
    assert {state_of(word) for word in WORDS} == set(DisputeState)
    assert state_of("charge_refunded") is None


@pytest.mark.parametrize(
    ("state", "withdrawn", "reinstated", "step"),
    [
        (DisputeState.INQUIRY, 0, 0, Step.NOTHING),
        (DisputeState.INQUIRY, 2_500, 0, Step.FREEZE),
        (DisputeState.OPEN, 0, 0, Step.FREEZE),
        (DisputeState.OPEN, 2_500, 0, Step.FREEZE),
        (DisputeState.UNDER_REVIEW, 2_500, 0, Step.FREEZE),
        (DisputeState.LOST, 2_500, 0, Step.LOSE),
        (DisputeState.LOST, 2_500, 1_000, Step.LOSE),
        (DisputeState.LOST, 0, 0, Step.THAW),
        (DisputeState.WON, 2_500, 0, Step.WAIT),
        (DisputeState.WON, 2_500, 2_500, Step.THAW),
        (DisputeState.WON, 2_540, 2_510, Step.THAW),
        (DisputeState.WON, 0, 0, Step.THAW),
        (DisputeState.PREVENTED, 0, 0, Step.THAW),
        (DisputeState.INQUIRY_CLOSED, 0, 0, Step.THAW),
        (DisputeState.INQUIRY_CLOSED, 2_500, 0, Step.WAIT),
    ],
)
def test_the_money_decides(
    state: DisputeState, withdrawn: int, reinstated: int, step: Step
) -> None:
    """Lost without a withdrawal is nothing lost; won without its money is not settled."""
    assert step_of(state, withdrawn, reinstated) is step


def test_what_is_final_stays_final_in_any_order() -> None:
    """Open, under review and won, looked at in every order, end as won."""
    life = (DisputeState.OPEN, DisputeState.UNDER_REVIEW, DisputeState.WON)
    for order in permutations(life):
        state = DisputeState.INQUIRY
        for seen in order:
            state = newer_state(state, seen)
        assert state is DisputeState.WON


@given(st.lists(st.integers(-(10**9), 10**9), max_size=6))
def test_movements_add_up(amounts: list[int]) -> None:
    """What went out less what came back is the sum; neither is below zero, neither ever shrinks."""
    out, back = moved_of(amounts)
    assert back - out == sum(amounts)
    assert min(out, back) >= 0
    steps = [moved_of(amounts[:count]) for count in range(len(amounts) + 1)]
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(steps))


@given(
    st.builds(Share, st.integers(1, 10**6), st.integers(0, 10**6)),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_what_is_disputed_is_never_more_than_was_paid(
    whole: Share, amount: int, withdrawn: int
) -> None:
    """The rest is the provider's exchange."""
    share = disputed_share(whole, NOTHING, amount, withdrawn)
    assert share.gross == min(withdrawn or amount, whole.gross)
    assert share.net <= whole.net
    assert share.tax <= whole.tax


def test_what_was_refunded_is_not_disputed_again() -> None:
    """Of 25.00 with 5.00 of tax, 10.00 and 2.00 went back; the bank disputes all of it."""
    share = disputed_share(Share(2_500, 500), Share(1_000, 200), 3_000, 3_000)
    assert share == Share(1_500, 300)
    assert disputed_share(Share(2_500, 500), Share(2_500, 500), 3_000, 3_000) == Share(0, 0)

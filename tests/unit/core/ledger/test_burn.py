"""Burn order and its reverse: pure, exact, never more than there is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ledger.burn import burn, give_back, total, use
from core.ledger.model import CreditGrant, GrantKind, Slice

NOW = datetime(2026, 11, 1, tzinfo=UTC)
AMOUNTS = st.integers(0, 1_000)


def _grant(number: int, remaining: int) -> CreditGrant:
    name = number.to_bytes(16, "big")
    return CreditGrant(name, bytes(16), GrantKind.PAID, max(remaining, 1), remaining, NOW, None)


@given(st.lists(AMOUNTS, max_size=6), AMOUNTS)
def test_burning_takes_all_it_can_from_the_first_grants(left: list[int], amount: int) -> None:
    """A later grant is touched only when all before it are used up."""
    grants = [_grant(place, remaining) for place, remaining in enumerate(left)]
    parts = burn(grants, amount)
    assert total(parts) == min(amount, sum(left))
    used_up = parts[:-1]
    assert all(part.amount == left[int.from_bytes(part.grant_id, "big")] for part in used_up)


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=6), st.data())
def test_slices_are_used_in_order_and_given_back_in_reverse(
    amounts: list[int], data: st.DataObject
) -> None:
    """Use and return meet in the middle, and nothing is counted twice."""
    used = data.draw(st.integers(0, sum(amounts)))
    slices = {
        place.to_bytes(16, "big"): Slice(place.to_bytes(16, "big"), "paid", amount)
        for place, amount in enumerate(amounts)
    }
    changed_by_use, taken = use(list(slices.values()), used)
    for changed in changed_by_use:
        slices[changed.grant_id] = changed
    assert total(taken) == used
    assert [part.amount for part in taken] == [piece.used for piece in changed_by_use]
    back, parts = give_back(list(slices.values()), sum(amounts) - used)
    for changed in back:
        slices[changed.grant_id] = changed
    assert total(parts) == sum(amounts) - used
    assert all(piece.open == 0 for piece in slices.values())
    ordered = [piece.used for piece in slices.values()]
    first_unfinished = next(
        (place for place, piece in enumerate(slices.values()) if piece.used < piece.amount),
        len(ordered),
    )
    assert not any(ordered[first_unfinished + 1 :])


def test_a_part_goes_back_to_the_grant_that_was_burnt_last() -> None:
    """Sooner expiry was leased first and comes back last."""
    slices = [Slice(b"a" * 16, "promo", 5), Slice(b"b" * 16, "paid", 5)]
    changed, parts = give_back(slices, 6)
    assert [(part.grant_id, part.amount) for part in parts] == [(b"b" * 16, 5), (b"a" * 16, 1)]
    assert [piece.returned for piece in changed] == [5, 1]


def test_more_than_a_lease_holds_is_a_fault() -> None:
    """The slices are the lease: they must cover what it holds."""
    with pytest.raises(ValueError, match="do not cover"):
        use([Slice(bytes(16), "promo", 5, used=3)], 3)

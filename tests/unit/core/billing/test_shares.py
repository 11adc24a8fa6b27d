"""How payments divide: parts add up to the whole, whatever they are cut into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing.shares import (
    MINOR_NANOS,
    NOTHING,
    Share,
    refundable_minor,
    share_of_gross,
    share_of_net,
    total,
)

WHOLES = st.builds(Share, st.integers(1, 10**9), st.integers(0, 10**9))


@given(WHOLES, st.data())
def test_refunds_of_credit_give_back_the_whole_tax_in_the_end(
    whole: Share, data: st.DataObject
) -> None:
    """Up to eight refunds by net amount, the last of which takes what is left."""
    parts: list[Share] = []
    for _ in range(data.draw(st.integers(0, 7))):
        left = whole.without(total(parts))
        if left.net > 1:
            net = data.draw(st.integers(1, left.net - 1))
            parts.append(share_of_net(whole, total(parts), net))
            assert parts[-1].tax >= 0
    parts.append(share_of_net(whole, total(parts), whole.without(total(parts)).net))
    assert total(parts) == whole


@given(WHOLES, st.data())
def test_refunds_of_money_give_back_the_whole_in_the_end(whole: Share, data: st.DataObject) -> None:
    """Each part is just as large as the money that was refunded, and none is below zero."""
    parts: list[Share] = []
    while (left := whole.without(total(parts))).gross > 0 and len(parts) < 8:
        most = left.gross if len(parts) < 7 else None
        gross = left.gross if most is None else data.draw(st.integers(1, most))
        parts.append(share_of_gross(whole, total(parts), gross))
        assert parts[-1].gross == gross
        assert 0 <= parts[-1].net <= left.net
        assert 0 <= parts[-1].tax <= left.tax
        assert parts[-1].net > 0 or left.net == 0
    assert total(parts) == whole


@given(WHOLES, st.integers(1, 10**9))
def test_tax_is_pro_rata_to_within_a_cent(whole: Share, net: int) -> None:
    """A first part's tax is the whole tax times its share of the credit, half a cent aside."""
    net = min(net, whole.net)
    part = share_of_net(whole, NOTHING, net)
    assert abs(part.tax * whole.net - whole.tax * net) * 2 <= whole.net


def test_thirds_of_a_tax_of_ten_add_up() -> None:
    """An example: 30.00 with 0.10 of tax, in three parts."""
    whole, taken, taxes = Share(3_000, 10), NOTHING, []
    for _ in range(3):
        part = share_of_net(whole, taken, 1_000)
        taken = total((taken, part))
        taxes.append(part.tax)
    assert taxes == [3, 4, 3]


@pytest.mark.parametrize("amount", [0, -1, 101])
def test_more_than_is_left_is_no_share(amount: int) -> None:
    """Nothing, less than nothing, too much: by credit and by money."""
    with pytest.raises(ValueError, match="what is left"):
        share_of_net(Share(100, 0), NOTHING, amount)
    with pytest.raises(ValueError, match="what is left"):
        share_of_gross(Share(100, 0), NOTHING, amount)


@pytest.mark.parametrize(
    ("free", "taken", "expected"),
    [
        (25 * 100 * MINOR_NANOS, NOTHING, 2_500),
        (MINOR_NANOS * 700 + MINOR_NANOS - 1, NOTHING, 700),
        (MINOR_NANOS - 1, NOTHING, 0),
        (25 * 100 * MINOR_NANOS, Share(2_000, 400), 500),
        (-1, NOTHING, 0),
    ],
)
def test_what_can_go_back_is_whole_cents_of_what_is_free_and_not_refunded(
    free: int, taken: Share, expected: int
) -> None:
    """The residue below a cent stays as credit."""
    assert refundable_minor(free_nanos=free, whole=Share(2_500, 500), taken=taken) == expected

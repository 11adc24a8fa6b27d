"""Pages of lists: sizes are coerced, tokens come back as they went."""

from __future__ import annotations

import pytest

from core.db.paging import (
    LAST_ID,
    id_token,
    int_token,
    page_size,
    parse_id_token,
    parse_int_token,
    split_page,
)
from kit.reasons import InvalidArgument


@pytest.mark.parametrize(("requested", "size"), [(0, 100), (1, 1), (1_000, 1_000), (5_000, 1_000)])
def test_a_page_size_is_coerced(requested: int, size: int) -> None:
    """AIP-158: too much is no error."""
    assert page_size(requested) == size


def test_a_token_is_given_while_there_are_more_rows() -> None:
    """The list was read with one row more than the page."""
    assert split_page([1, 2, 3], 2, str) == ([1, 2], "2")
    assert split_page([1, 2], 2, str) == ([1, 2], "")


def test_tokens_come_back_as_they_went() -> None:
    """An empty one is the first page."""
    assert parse_id_token(id_token(b"i" * 16)) == b"i" * 16
    assert parse_id_token("") == LAST_ID
    assert parse_int_token(int_token(77), 5) == 77
    assert parse_int_token("", 5) == 5


@pytest.mark.parametrize("token", ["x", "00", "zz" * 16])
def test_a_token_that_is_none_of_ours_is_refused(token: str) -> None:
    """By the name of its field."""
    for parse in (parse_id_token, lambda text: parse_int_token(text, 0)):
        with pytest.raises(InvalidArgument):
            parse(token)

"""Byte ranges: what is asked for is what comes, and never more or less than the file has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api.ranges import ByteRange, RangeNotSatisfiable, is_fresh, wanted_range

ETAG = '"aa"'


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 10)),
        ("bytes=90-", (90, 10)),
        ("bytes=90-1000", (90, 10)),
        ("bytes=-7", (93, 7)),
        ("bytes=-1000", (0, 100)),
        ("BYTES=5-6", (5, 2)),
        # All of it: none asked for, not understood, or several parts.
        (None, None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=9-5", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_of_a_hundred_bytes(header: str | None, part: tuple[int, int] | None) -> None:
    """As RFC 9110 reads it."""
    found = wanted_range(header, None, ETAG, 100)
    assert found == (None if part is None else ByteRange(*part))


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_what_lies_behind_the_end_cannot_be_had(header: str) -> None:
    """It is told, so that a client does not take nothing for the rest."""
    with pytest.raises(RangeNotSatisfiable):
        wanted_range(header, None, ETAG, 100)


def test_a_part_of_another_version_is_not_sent() -> None:
    """Then all of this one comes."""
    assert wanted_range("bytes=5-", ETAG, ETAG, 100) == ByteRange(5, 95)
    for other in ('"bb"', 'W/"aa"', "Tue, 01 Sep 2026 00:00:00 GMT"):
        assert wanted_range("bytes=5-", other, ETAG, 100) is None


def test_who_has_the_bytes_needs_no_others() -> None:
    """One of several tags is enough."""
    assert is_fresh('"x", W/"aa"', ETAG)
    assert is_fresh("*", ETAG)
    assert not is_fresh('"x"', ETAG)
    assert not is_fresh(None, ETAG)


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,25}-\d{0,25}"), st.integers(0, 10**13))
def test_whatever_is_asked_lies_within_the_file(header: str, size: int) -> None:
    """Nothing else, and no other error."""
    try:
        part = wanted_range(header, None, ETAG, size)
    except RangeNotSatisfiable:
        return
    if part is not None:
        assert part.offset >= 0
        assert part.length > 0
        assert part.offset + part.length <= size

"""Ids: monotonic, sortable by time, readable only with the right prefix."""

from __future__ import annotations

import os
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.ids import (
    IdSource,
    InvalidIdError,
    RandomStore,
    format_id,
    parse_id,
    unix_ms_of,
    uuid7_bytes,
    uuid7_floor,
)


@given(st.lists(st.integers(min_value=0, max_value=2**42), min_size=2, max_size=200))
def test_ids_only_grow_whatever_the_clock_does(times_ms: list[int]) -> None:
    """A clock that jumps back must not give a smaller or equal id."""
    times = iter(times_ms)
    source = IdSource(now_ns=lambda: next(times) * 1_000_000)
    ids = [source.new() for _ in times_ms]
    assert ids == sorted(set(ids))


def test_a_burst_beyond_the_counter_still_grows() -> None:
    """More ids than the counter holds in one millisecond borrow from the next."""
    source = IdSource(now_ns=lambda: 1_000_000)
    ids = [source.new() for _ in range(10_000)]
    assert ids == sorted(set(ids))


@given(st.integers(0, 2**48 - 2), st.integers(0, 4095), st.binary(min_size=8, max_size=8))
def test_an_id_is_a_uuid_version_7(unix_ms: int, counter: int, random8: bytes) -> None:
    """RFC 9562: version 7 and variant 10 in their places, the time in front."""
    identifier = uuid7_bytes(unix_ms, counter, random8)
    assert len(identifier) == 16
    assert identifier[6] >> 4 == 7
    assert identifier[8] >> 6 == 0b10
    assert unix_ms_of(identifier) == unix_ms
    assert uuid7_floor(unix_ms) <= identifier < uuid7_floor(unix_ms + 1)


@given(st.binary(min_size=16, max_size=16))
def test_the_outside_form_reads_back(identifier: bytes) -> None:
    """What we show is what we find it by."""
    assert parse_id("req", format_id("req", identifier)) == identifier


@pytest.mark.parametrize(
    "text",
    ["", "req_", "req_" + "0" * 31, "req_" + "G" * 32, "key_" + "0" * 32, "req_" + "0" * 32 + "\n"],
)
def test_other_texts_are_refused(text: str) -> None:
    """A wrong prefix, length or digit is no id."""
    with pytest.raises(InvalidIdError):
        parse_id("req", text)


def test_random_bytes_are_handed_out_once_also_across_a_fork() -> None:
    """A child that went on with its parent's store would mint the parent's ids."""
    store = RandomStore()
    taken = {store.take(8) for _ in range(2_000)}
    assert len(taken) == 2_000
    assert len(store.take(2)) == 2
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only writes and leaves
        child = os.fork()
    if child == 0:
        os.write(writer, store.take(8))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 8) != store.take(8)
    os.close(reader)
    os.close(writer)

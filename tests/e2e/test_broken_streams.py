"""Streams cut, left and unread, in small numbers; `make chaos SUITES=streams` has large ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.streams import cuts, leaving, memory, protocols, silence, storm
from tests.support.stack import Stack

UNHURRIED_MS = 2_000.0
"""Eight times what is promised, and less than the upstream's idle time-out, which ends it too."""


@pytest.fixture
def clean(stack: Stack) -> Iterator[Stack]:
    """Leave the upstream without faults for the next test."""
    stack.replay.reset()
    yield stack
    stack.replay.reset()


def test_a_chat_cut_anywhere_raises_and_is_charged_what_was_counted(clean: Stack) -> None:
    """A sample of chats, of their events and of their bytes, through the SDK."""
    tally = cuts.run(clean, byte_cuts=1, event_cuts=3, chats=14)
    assert tally.wrong == []
    assert tally.cases >= 14


def test_a_stream_of_any_api_cut_anywhere_is_an_error_for_clients_of_every_api(
    clean: Stack,
) -> None:
    """A sample of streams natively, and one of each API for clients of the others."""
    tally = protocols.run(clean, byte_cuts=2, event_cuts=2, native=4, crossing=1)
    assert tally.wrong == []
    assert tally.cases >= 60


def test_a_stream_left_after_any_event_is_cancelled(clean: Stack) -> None:
    """Every fourth event of some chats."""
    tally = leaving.run(clean, chats=5, step=4, cancelled_ms_max=UNHURRIED_MS)
    assert tally.wrong == []
    assert tally.cancelled == tally.cases > 0


def test_clients_that_leave_at_any_moment_leave_nothing_behind(clean: Stack) -> None:
    """No slot, no file, no hold; and the next ones are served."""
    left = storm.run(clean, clean.edge_pid, cancels=300)
    assert left.held, left


def test_a_client_that_reads_nothing_costs_a_bounded_memory(clean: Stack) -> None:
    """The upstream is not read further than the client is."""
    grown = memory.stalled_readers(clean, clean.edge_pid, streams=20, seconds=3.0)
    assert grown.kib_per_stream < 4 * memory.KIB_PER_STREAM_MAX, grown


def test_an_impatient_proxy_sees_the_silence_bridged(clean: Stack) -> None:
    """Keep-alives come more often than it gives up."""
    bridged = silence.run(clean, silent_seconds=3.0, proxy_seconds=1.5)
    assert bridged.held, bridged

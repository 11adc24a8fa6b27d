"""A request hidden behind a framing in doubt is never served."""

from __future__ import annotations

import asyncio
import random
import time

from tests.chaos.badinput.smuggling import HIDDEN, HIDDEN_TARGET, mutation, run
from tests.support.corpus import target_of
from tests.support.stack import Stack
from tests.support.strict_http import targets

CASES = 300


def test_a_hidden_request_is_served_only_where_a_second_reader_finds_it(stack: Stack) -> None:
    """Random mutations of lengths, codings, line ends and chunks."""
    chance = random.Random(time.monotonic_ns())
    cases = [mutation(chance) for _ in range(CASES)]
    counts, wrong = asyncio.run(run(target_of(stack.base_url, stack.api_key, ""), cases))
    assert wrong == []
    assert counts["refused"]
    assert counts["both served"]


def test_the_second_reader_doubts_what_it_should() -> None:
    """Control: it finds the hidden request where there is no doubt, and not where there is."""
    sound = b"POST /v1/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    assert list(targets(sound + HIDDEN)) == [b"/v1/nothing", HIDDEN_TARGET]
    both = sound.replace(b"Host: a\r\n", b"Host: a\r\nTransfer-Encoding: chunked\r\n")
    assert list(targets(both + HIDDEN)) == []

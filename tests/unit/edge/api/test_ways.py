"""Which candidates may be tried, and what is written for them."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from edge.admission.catalog import Candidate, Upstream
from edge.api.ways import bound, ways_of
from edge.translate.chat.surface import ChatSurface
from edge.translate.errors import UnsupportedParameter
from edge.translate.surface import ClientRequest, Terms
from kit.hold import RequestShape
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms

CHAT = Endpoint.ENDPOINT_CHAT_COMPLETIONS
MESSAGES = Endpoint.ENDPOINT_MESSAGES
GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT
NOTHING_SPECIAL = (1, True, False, False, b"")
"""Dialect, a terminal frame, no drain, no bill for the refused, no credential."""
SAID = [{"role": "user", "content": "Hi."}]


def candidate(number: int, serves: Endpoint.ValueType) -> Candidate:
    """Return a candidate that serves one API."""
    upstream = Upstream(number, f"up{number}", "http://x/v1", *NOTHING_SPECIAL)
    return Candidate(upstream, "model", 1, 0, 1.0, 1.0, 0, surfaces=frozenset({int(serves)}))


def asked(**more: object) -> ClientRequest:
    """Return a chat with these fields."""
    return ChatSurface().read(orjson.dumps({"messages": SAID, **more}), {}, "", b"")


def terms_of(one: Candidate) -> Terms:
    """Return terms by the API alone."""
    return terms(*(Endpoint.ValueType(number) for number in one.surfaces))


def numbers(request: ClientRequest, candidates: list[Candidate], most: int = 3) -> list[int]:
    """Return the upstreams that may be tried."""
    found = ways_of(request, candidates, most, terms_of)
    return [way.candidate.upstream.number for way in found]


def test_the_order_stays_and_who_cannot_take_it_is_passed_over() -> None:
    """A seed has no place in messages."""
    candidates = [candidate(1, GENERATE), candidate(2, MESSAGES), candidate(3, CHAT)]
    assert numbers(asked(), candidates) == [1, 2, 3]
    assert numbers(asked(seed=7), candidates) == [1, 3]
    assert numbers(asked(seed=7), candidates, most=2) == [1, 3]


def test_nothing_is_written_for_candidates_that_will_not_be_tried() -> None:
    """The route bounds what one request may cause, here as well."""
    looked_at: list[int] = []

    def each() -> Iterator[Candidate]:
        for number in range(1, 9):
            looked_at.append(number)
            yield candidate(number, MESSAGES if number == 1 else CHAT)

    assert len(ways_of(asked(seed=7), each(), 2, terms_of)) == 2
    assert looked_at == [1, 2, 3]


def test_the_first_refusal_is_told_if_none_can_take_it() -> None:
    """By the client's name of the field."""
    candidates = [candidate(1, MESSAGES), candidate(2, GENERATE)]
    with pytest.raises(UnsupportedParameter) as caught:
        numbers(asked(seed=7, logit_bias={"1": 1}), candidates)
    assert caught.value.param == "seed"


def test_the_longest_body_is_held_for() -> None:
    """Without what media in it count elsewhere; the client's own is never held for less."""
    (native,) = ways_of(asked(), [candidate(1, CHAT)], 1, terms_of)
    (written,) = ways_of(asked(), [candidate(2, MESSAGES)], 1, terms_of)
    shape = RequestShape(text_bytes=50, overhead_tokens=0)
    bound(shape, [native], 0)
    assert shape.text_bytes == 50
    bound(shape, [native, written], 10)
    assert shape.text_bytes == len(written.translation.body(None)) - 10 > 50

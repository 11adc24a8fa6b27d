"""The fuzzed properties hold where fuzzing begins, and near it; a broken one is noticed."""

from __future__ import annotations

import random

import pytest

from edge.translate.chat.stream import ChatStream
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS_BY_NAME, Finding, seeds

MUTANTS = 3


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few of them changed, doubled or left out."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) or 1)
        match chance.randrange(3):
            case 0:
                found[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                found[at:at] = found[at : at + chance.randint(1, 9)]
            case _:
                del found[at : at + chance.randint(1, 9)]
    return bytes(found)


@pytest.mark.parametrize("name", TARGETS_BY_NAME)
def test_the_seeds_and_their_neighbours_pass(name: str) -> None:
    """What the tables and the recordings begin with."""
    chance = random.Random(name)
    target, begins = TARGETS_BY_NAME[name], seeds(name)
    assert begins
    for seed in begins:
        target(seed)
        for _ in range(MUTANTS):
            target(mutated(seed, chance))


def test_a_front_that_takes_what_another_reader_doubts_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control: without our rules on heads the parser alone takes two hosts."""
    wire = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    targets.head(wire)
    monkeypatch.setattr(targets, "refuse_head", lambda *_: None)
    with pytest.raises(Finding):
        targets.head(wire)


def test_a_stream_that_depends_on_its_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a frame that is relayed only if it comes whole."""
    whole = ChatStream.feed

    def forgetful(self: ChatStream, chunk: bytes) -> bytes:
        return whole(self, chunk) if chunk.endswith(b"\n\n") else b""

    stream = b'\x07\x00data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    targets.sse(stream)
    monkeypatch.setattr(ChatStream, "feed", forgetful)
    with pytest.raises(Finding):
        targets.sse(stream)

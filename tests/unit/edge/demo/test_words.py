"""Text from a seed: the same for ever, and one token a piece."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.demo.words import derive, json_pieces, seed_of, words


def test_a_seed_gives_the_same_words_in_every_release() -> None:
    """Recorded charges of the demo stay reproducible."""
    assert seed_of(b"one", b"two") == 0x46C4200CE395D31E
    assert words(1, 4) == ["Prairie", " reed", " garnet", " granite"]
    assert derive(1, 2) == 11770040161747491669


def test_parts_cannot_be_shifted_into_each_other() -> None:
    """Different requests do not meet in one seed by joining their parts differently."""
    assert seed_of(b"ab", b"c") != seed_of(b"a", b"bc")


@given(seed=st.integers(0, 2**64 - 1), count=st.integers(0, 200))
def test_words_are_as_many_as_asked(seed: int, count: int) -> None:
    """A piece is a token, so usage can be counted from pieces."""
    pieces = words(seed, count)
    assert len(pieces) == count
    assert len("".join(pieces).split()) == count


@given(seed=st.integers(0, 2**64 - 1))
def test_derived_seeds_differ(seed: int) -> None:
    """The choices of one answer are not all alike."""
    assert len({derive(seed, salt) for salt in range(8)}) == 8


@given(st.text())
def test_json_pieces_join_to_the_text(text: str) -> None:
    """Streamed JSON is the JSON."""
    pieces = json_pieces(text)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 4 for piece in pieces)

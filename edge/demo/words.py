"""Where the demo's text comes from: a fixed word list drawn from by a seed, one token a word.

The words are ours and know nothing of the prompt, so an answer cannot repeat it.
"""

from __future__ import annotations

import hashlib

_TEXT = """
amber anchor apple arrow aspen autumn basil beacon birch bridge bronze canyon cedar cider
clover cobalt copper coral cotton crystal dawn delta ember falcon fern fjord flint forest
garden garnet glacier granite harbor hazel heron island ivory jasmine juniper lagoon lantern
laurel linen lotus maple marble meadow mellow mint misty nectar olive opal orchard pebble
pepper pine prairie quartz raven reed river saffron silver
"""
_WORDS = tuple(_TEXT.split())
_SPACED = tuple(" " + word for word in _WORDS)
_WORD_BITS = 6
_WORD_MASK = (1 << _WORD_BITS) - 1
_MASK = (1 << 64) - 1
_FACTOR = 6364136223846793005
_STEP = 1442695040888963407
_JSON_TOKEN_CHARACTERS = 4

assert len(_WORDS) == 1 << _WORD_BITS


def seed_of(*parts: bytes) -> int:
    """Turn what decides an answer into 64 bits; equal parts give equal answers for ever."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big")


def derive(seed: int, salt: int) -> int:
    """Give an independent seed for the `salt`-th part of the same answer."""
    return _next(_next(seed ^ (salt * 0x9E3779B97F4A7C15 & _MASK)))


def words(seed: int, count: int) -> list[str]:
    """Give `count` tokens of plain text; joined they read as one sentence without its dot."""
    stream = hashlib.shake_128(seed.to_bytes(8, "big")).digest(count)
    pieces = [_SPACED[byte & _WORD_MASK] for byte in stream]
    if pieces:
        pieces[0] = pieces[0].strip().capitalize()
    return pieces


def word(seed: int) -> str:
    """Give one word, for a string inside a JSON value."""
    return _WORDS[_next(seed) >> (64 - _WORD_BITS)]


def json_pieces(text: str) -> list[str]:
    """Cut JSON text into tokens of four characters."""
    step = _JSON_TOKEN_CHARACTERS
    return [text[start : start + step] for start in range(0, len(text), step)]


def _next(state: int) -> int:
    """Step a 64-bit linear congruential generator (Knuth's MMIX constants)."""
    return (state * _FACTOR + _STEP) & _MASK

"""Keyrings: secrets by version, in a file that only its owner can read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.keyring import load_or_make_keyring, parse_keyring


def test_a_new_keyring_is_made_once(tmp_path: Path) -> None:
    """The second start reads what the first one made; else every key would be lost."""
    path = tmp_path / "keys" / "pepper.json"
    made = load_or_make_keyring(path)
    assert load_or_make_keyring(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_largest_version_is_the_newest() -> None:
    """By number, not by place in the file."""
    ring = parse_keyring('{"10": "' + "aa" * 32 + '", "9": "' + "bb" * 32 + '"}')
    assert ring.newest == (10, b"\xaa" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"1": 5}',
        '{"1": "xyz"}',
        '{"1": "aabb"}',
        '{"one": "' + "aa" * 32 + '"}',
        '{"0": "' + "aa" * 32 + '"}',
        '{"256": "' + "aa" * 32 + '"}',
    ],
)
def test_a_wrong_keyring_is_refused_without_showing_it(text: str) -> None:
    """A secret must not get into a traceback."""
    with pytest.raises(ValueError, match=r"^keyring: ") as caught:
        parse_keyring(text)
    assert caught.value.__cause__ is None
    assert not text or text not in str(caught.value)

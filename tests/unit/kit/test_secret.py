"""API key secrets: checksum, shape and keyed hash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.secret import SECRET_LENGTH, hint_of, is_well_formed, new_secret, secret_hash

PEPPER = bytes(range(32))


def test_new_secrets_are_well_formed_and_differ() -> None:
    """58 characters, and never the same twice."""
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(is_well_formed(secret) and len(secret) == SECRET_LENGTH for secret in made)


@given(st.integers(0, SECRET_LENGTH - 1), st.sampled_from("0aZ9_x"))
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    """The checksum finds it without a look-up."""
    secret = new_secret()
    changed = secret[:place] + character + secret[place + 1 :]
    assert is_well_formed(changed) == (changed == secret)


@given(st.text(max_size=80))
def test_any_text_is_answered(text: str) -> None:
    """Whatever a client sends as a key, the check answers."""
    assert not is_well_formed(text)


def test_the_hash_depends_on_secret_and_pepper() -> None:
    """A database alone does not verify guesses."""
    assert secret_hash("a", PEPPER) != secret_hash("b", PEPPER)
    assert secret_hash("a", PEPPER) != secret_hash("a", bytes(32))


def test_a_short_pepper_is_refused() -> None:
    """An empty pepper would make the hash guessable."""
    with pytest.raises(ValueError, match=r"^$"):
        secret_hash("a", b"short")


def test_the_hint_reveals_four_characters() -> None:
    """Enough to recognise, far too little to guess."""
    assert len(hint_of(new_secret())) == len("1ac_live_") + 4

"""Provider credentials at rest: bound to their upstream, readable under their key only."""

from __future__ import annotations

import pytest

from core.catalog.sealing import CREDENTIAL_MAX_BYTES, CannotOpen, Sealer
from core.keyring import Keyring

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_was_sealed_opens() -> None:
    """And its bytes do not show in between."""
    sealer = Sealer(Keyring({1: OLD}))
    sealed = sealer.seal("openai", b"credential")
    assert b"credential" not in sealed
    assert sealer.open("openai", sealed) == b"credential"


def test_the_same_credential_is_never_sealed_the_same_way_twice() -> None:
    """Each has its own key and nonces."""
    sealer = Sealer(Keyring({1: OLD}))
    assert sealer.seal("openai", b"credential") != sealer.seal("openai", b"credential")


def test_an_older_key_still_opens_what_it_sealed() -> None:
    """Rotation needs no night shift."""
    sealed = Sealer(Keyring({1: OLD})).seal("openai", b"credential")
    assert Sealer(Keyring({1: OLD, 2: NEW})).open("openai", sealed) == b"credential"
    assert Sealer(Keyring({1: OLD, 2: NEW})).seal("openai", b"x")[0] == 2


def test_a_credential_cannot_be_moved_to_another_upstream() -> None:
    """Whoever can write rows cannot send one provider's credential to another."""
    sealer = Sealer(Keyring({1: OLD}))
    with pytest.raises(CannotOpen):
        sealer.open("elsewhere", sealer.seal("openai", b"credential"))


@pytest.mark.parametrize("keys", [{1: NEW}, {2: OLD}])
def test_under_another_key_nothing_opens(keys: dict[int, bytes]) -> None:
    """Neither another key of the version nor the key under another version."""
    sealed = Sealer(Keyring({1: OLD})).seal("openai", b"credential")
    with pytest.raises(CannotOpen):
        Sealer(Keyring(keys)).open("openai", sealed)


def test_a_changed_byte_anywhere_is_noticed() -> None:
    """Version, nonces, keys and text are all covered."""
    sealer = Sealer(Keyring({1: OLD, 2: NEW}))
    sealed = sealer.seal("openai", b"credential")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CannotOpen):
            sealer.open("openai", bytes(changed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 40])
def test_a_torn_seal_does_not_open(sealed: bytes) -> None:
    """As no other fault than this one."""
    with pytest.raises(CannotOpen):
        Sealer(Keyring({1: OLD})).open("openai", sealed)


def test_a_credential_has_a_limit() -> None:
    """The edge's message has it too."""
    with pytest.raises(ValueError, match="too long"):
        Sealer(Keyring({1: OLD})).seal("openai", bytes(CREDENTIAL_MAX_BYTES + 1))


def test_secrets_do_not_show_in_a_representation() -> None:
    """A log or a traceback may print anything."""
    assert "6f6f" not in repr(Keyring({1: OLD}))
    assert "ooo" not in repr(Keyring({1: OLD}))

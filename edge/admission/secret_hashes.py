"""The keyed hashes of secrets that were used lately, so that they are computed once.

A secret itself is never kept. It is found again by a hash under a key that this process made up and
that ends with it: what is remembered means nothing elsewhere.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from kit.secret import secret_hash

MAX_REMEMBERED: Final = 10_000


class SecretHashes:
    """Hashes secrets under every pepper, newest first."""

    def __init__(self, peppers: list[bytes]) -> None:
        """Remember nothing yet."""
        self._peppers = peppers
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, list[bytes]] = {}

    def remembered(self, secret: str) -> list[bytes] | None:
        """Return the hashes of a secret that was found to be a key's before."""
        return self._remembered.get(self._name_of(secret))

    def of(self, secret: str) -> list[bytes]:
        """Return the hashes of a secret."""
        return [secret_hash(secret, pepper) for pepper in self._peppers]

    def remember(self, secret: str, hashes: list[bytes]) -> None:
        """Remember the hashes of a secret that is a key's."""
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[self._name_of(secret)] = hashes

    def _name_of(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode(), key=self._key, digest_size=32).digest()

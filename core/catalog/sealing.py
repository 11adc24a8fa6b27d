"""Provider credentials at rest: each under its own key, and that key under the process's KEK.

Layout: KEK version (1 byte), nonce (12), sealed data key (48), nonce (12), sealed credential. Both
are AES-256-GCM; the additional data binds them to the upstream's name, so that a row cannot be
moved to another upstream.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.keyring import Keyring

CREDENTIAL_MAX_BYTES: Final = 4_096
_NONCE: Final = 12
_DATA_KEY: Final = 32
_WRAPPED_KEY: Final = _DATA_KEY + 16


class CannotOpen(Exception):
    """A sealed credential does not fit the key, or the upstream, that it is opened for."""


class Sealer:
    """Seals and opens credentials."""

    def __init__(self, keys: Keyring) -> None:
        """Seal under the newest key; open under any that the ring still has."""
        self._keys = keys

    def seal(self, upstream: str, credential: bytes) -> bytes:
        """Return the sealed form of a credential of at most 4,096 bytes.

        Raises:
            ValueError: the credential is longer.
        """
        if len(credential) > CREDENTIAL_MAX_BYTES:
            raise ValueError("credential: too long")
        version, key = self._keys.newest
        data_key, bound = secrets.token_bytes(_DATA_KEY), _bound_to(upstream)
        outer, inner = secrets.token_bytes(_NONCE), secrets.token_bytes(_NONCE)
        wrapped = AESGCM(key).encrypt(outer, data_key, bound)
        sealed = AESGCM(data_key).encrypt(inner, credential, bound)
        return bytes([version]) + outer + wrapped + inner + sealed

    def open(self, upstream: str, sealed: bytes) -> bytes:
        """Return the credential.

        Raises:
            CannotOpen: it was sealed under another key, for another upstream, or was changed.
        """
        bound = _bound_to(upstream)
        outer, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        wrapped, rest = rest[:_WRAPPED_KEY], rest[_WRAPPED_KEY:]
        try:
            key = self._keys.by_version[sealed[0]]
            data_key = AESGCM(key).decrypt(outer, wrapped, bound)
            return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], bound)
        except (InvalidTag, ValueError, LookupError):
            raise CannotOpen from None


def _bound_to(upstream: str) -> bytes:
    return f"upstream|{upstream}|credential".encode()

"""API key secrets: their format, checksum and keyed hash.

`1ac_live_` + 43 base62 digits (256 random bits) + 6 base62 digits of CRC-32 over all before, so
that a mistyped secret is refused without any look-up. Only an HMAC-SHA256 under a versioned pepper
is kept: 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from typing import Final

PREFIX: Final = "1ac_live_"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS: Final = 43
_CHECK_DIGITS: Final = 6
SECRET_LENGTH: Final = len(PREFIX) + _RANDOM_DIGITS + _CHECK_DIGITS
PATTERN: Final = r"1ac_live_[0-9A-Za-z]{49}"
_SHAPE = re.compile(f"^{PATTERN}$", re.ASCII)
HINT_LENGTH: Final = len(PREFIX) + 4


def new_secret() -> str:
    """Return a new secret of 58 characters."""
    body = PREFIX + _base62(secrets.randbits(256), _RANDOM_DIGITS)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Say whether a text has a secret's shape and its checksum is right."""
    return (
        _SHAPE.fullmatch(secret) is not None and _checksum(secret[:-_CHECK_DIGITS]) == secret[-6:]
    )


def secret_hash(secret: str, pepper: bytes) -> bytes:
    """Return the 32-byte keyed hash that core and edges know a secret by.

    Raises:
        ValueError: the pepper is shorter than 32 bytes; an empty one would make hashes guessable.
    """
    if len(pepper) < hashlib.sha256().digest_size:
        raise ValueError
    return hmac.digest(pepper, secret.encode(), "sha256")


def hint_of(secret: str) -> str:
    """Return the first characters of a secret, by which its owner recognises it."""
    return secret[:HINT_LENGTH]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_DIGITS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))

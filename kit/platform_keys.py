"""The platform's public keys: Ed25519 (RFC 8032), published as a JSON Web Key Set (RFC 8037).

What is signed begins with a label that names its kind and version, so that a signature over one
thing is never one over another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kit.canonical import Canonical, encode

ALGORITHM: Final = "Ed25519"
KEY_BYTES: Final = 32
KEYS_MAX: Final = 1_000
KEY_FILE: Final = "1api-keys.json"
"""What the published keys are called, under `/.well-known/` and as a file."""
_KEY_ID_DIGITS: Final = 16


class InvalidKeySet(ValueError):
    """A text is not a JSON Web Key Set with Ed25519 keys; carries no part of it."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Public keys by their ids, the one in use first."""

    by_id: Mapping[str, bytes]

    def verifies(self, key_id: str, signature: bytes, message: bytes) -> bool:
        """Say whether a signature over a message is by the key of that id."""
        public = self.by_id.get(key_id)
        if public is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_json(self) -> bytes:
        """Return the key set as it is published."""
        keys = [
            {"kty": "OKP", "crv": ALGORITHM, "use": "sig", "kid": key_id, "x": _to_base64(public)}
            for key_id, public in self.by_id.items()
        ]
        return json.dumps({"keys": keys}, indent=2).encode()


def key_id_of(public: bytes) -> str:
    """Return the id of a key, which is made of it: no two keys share one."""
    return f"ed25519-{hashlib.sha256(public).hexdigest()[:_KEY_ID_DIGITS]}"


def parse_keys(text: bytes) -> PublicKeys:
    """Read a published key set; keys of other kinds are left out.

    Raises:
        InvalidKeySet: no such set, or a key that is broken or stands under another key's id.
    """
    try:
        entries = json.loads(text)["keys"]
        found = dict(_parse(entry) for entry in entries if _is_ours(entry))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidKeySet from None
    if len(found) > KEYS_MAX:
        raise InvalidKeySet
    return PublicKeys(found)


def signed_bytes(label: str, content: Canonical) -> bytes:
    """Return what a signature covers: the label, a line end, and the canonical JSON."""
    return label.encode() + b"\n" + encode(content)


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return entry.get("kty") == "OKP" and entry.get("crv") == ALGORITHM


def _parse(entry: Mapping[str, Any]) -> tuple[str, bytes]:
    public = _from_base64(entry["x"])
    if len(public) != KEY_BYTES or entry["kid"] != key_id_of(public):
        raise InvalidKeySet
    return entry["kid"], public


def _to_base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidKeySet from None

"""User contexts: on whose behalf a service calls another, signed by core and short-lived.

A text of two parts in URL-safe base64 without padding, joined by a dot: canonical JSON and an
Ed25519 signature over a label and that JSON (`kit/platform_keys.py`). It works for one service, the
audience, and for a minute. Services call with it in the metadata `x-1api-user-context`; none of
them ever takes a plain id for a person or a key.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kit.canonical import Canonical, encode
from kit.platform_keys import PublicKeys

METADATA_KEY: Final = "x-1api-user-context"
LABEL: Final = "1api.club/user_context/v1"
LIFETIME_MICROS: Final = 60_000_000
LEEWAY_MICROS: Final = 5_000_000
"""How far the clocks of our processes may be apart."""
TEXT_CHARACTERS_MAX: Final = 2_048
_PARTS: Final = 2


class InvalidUserContext(ValueError):
    """A text is no user context, or not one for here and now; carries no part of it."""


class UnknownSigningKey(InvalidUserContext):
    """A user context names a signing key that is not among those at hand."""


@dataclass(frozen=True, slots=True)
class UserContext:
    """Who asks, for which workspace, and what they may do there."""

    subject: str
    """`key_` and 32 hex digits."""
    workspace_id: str
    permissions: frozenset[str]
    audience: str
    issued_at_micros: int

    @property
    def expires_at_micros(self) -> int:
        """Return until when it works, microseconds since 1970 (UTC)."""
        return self.issued_at_micros + LIFETIME_MICROS

    def content(self, key_id: str) -> Mapping[str, Canonical]:
        """Return what a signature by the key of that id covers."""
        return {
            "audience": self.audience,
            "issued_at_micros": self.issued_at_micros,
            "key_id": key_id,
            "permissions": sorted(self.permissions),
            "subject": self.subject,
            "workspace_id": self.workspace_id,
        }


def to_text(content: Mapping[str, Canonical], signature: bytes) -> str:
    """Return the text of a signed user context."""
    return f"{_to_base64(encode(content))}.{_to_base64(signature)}"


def read_signed(text: str, keys: PublicKeys) -> UserContext:
    """Return the user context that a text says, whether its time is over or not.

    Raises:
        UnknownSigningKey: no such key is at hand; another look for keys may bring it.
        InvalidUserContext: it is none of ours.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidUserContext
    payload, signature = _parts(text)
    try:
        content = json.loads(payload)
        key_id = str(content["key_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidUserContext from None
    if key_id not in keys.by_id:
        raise UnknownSigningKey
    if not keys.verifies(key_id, signature, LABEL.encode() + b"\n" + payload):
        raise InvalidUserContext
    # From here on it is what core wrote.
    return UserContext(
        subject=content["subject"],
        workspace_id=content["workspace_id"],
        permissions=frozenset(content["permissions"]),
        audience=content["audience"],
        issued_at_micros=int(content["issued_at_micros"]),
    )


def check_current(context: UserContext, audience: str, now_micros: int) -> None:
    """Refuse a user context that is for another service or another time.

    Raises:
        InvalidUserContext: it is.
    """
    starts = context.issued_at_micros - LEEWAY_MICROS
    ends = context.expires_at_micros + LEEWAY_MICROS
    if context.audience != audience or not starts <= now_micros < ends:
        raise InvalidUserContext


def _parts(text: str) -> tuple[bytes, bytes]:
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise InvalidUserContext
    try:
        payload, signature = (
            base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
            for part in parts
        )
    except (binascii.Error, ValueError):
        raise InvalidUserContext from None
    return payload, signature


def _to_base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

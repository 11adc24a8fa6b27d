"""Who calls: in the dev profile a token per service, in a file that only its owner can read."""

from __future__ import annotations

import hmac
import json
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.reasons import Unauthenticated

METADATA_KEY: Final = "authorization"
_SCHEME: Final = "Bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity of a caller, such as `edge`, `operator` or `finance`."""

    name: str


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Return who called the method that runs now.

    Raises:
        Unauthenticated: outside of a call.
    """
    try:
        return _caller.get()
    except LookupError:
        raise Unauthenticated from None


def set_caller(caller: Caller) -> None:
    """Note the caller for the rest of this call; used by the server's interceptor only."""
    _caller.set(caller)


class Tokens:
    """The tokens of all services, compared in constant time."""

    def __init__(self, by_name: dict[str, str]) -> None:
        """Keep the tokens by service name."""
        self._by_name = by_name

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Read the tokens of a credentials file."""
        return cls(json.loads(path.read_text()))

    def of(self, name: str) -> str:
        """Return the token of one service.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    def caller_of(self, header: str | bytes | None) -> Caller:
        """Return whose token an authorization header carries.

        Raises:
            Unauthenticated: it carries none of them.
        """
        given = header.encode() if isinstance(header, str) else header or b""
        found = None
        for name, token in self._by_name.items():
            if hmac.compare_digest(given, (_SCHEME + token).encode()):
                found = Caller(name)
        if found is None:
            raise Unauthenticated
        return found


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that identifies a caller."""
    return ((METADATA_KEY, _SCHEME + token),)

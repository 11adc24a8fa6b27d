"""Idempotency keys (docs.stripe.com/api/idempotent_requests): an answer is given again for a day.

Kept is what the method answered, errors and 500 included; not what was refused before it ran.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from tools.stripe_sim.clock import DAY_SECONDS, SimulatedClock
from tools.stripe_sim.errors import InvalidRequest, Json, KeyInUse, KeyReused

KEPT_SECONDS: Final = DAY_SECONDS
KEY_CHARACTERS_MAX: Final = 255


@dataclass(slots=True)
class Entry:
    """One key: what it was used for, and the answer once there is one."""

    fingerprint: str
    at: int
    request_id: str
    status: int = 0
    body: Json | None = None


class Keys:
    """The keys of the last day."""

    def __init__(self, clock: SimulatedClock) -> None:
        """Start without keys."""
        self._clock = clock
        self._entries: dict[str, Entry] = {}

    def begin(self, key: str, fingerprint: str, request_id: str) -> Entry | None:
        """Return the earlier answer, or None and take the key.

        Raises:
            InvalidRequest: the key is too long.
            KeyReused: it was used with other parameters.
            KeyInUse: its first request has not been answered yet.
        """
        if not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise InvalidRequest("An idempotency key has 1 to 255 characters")
        entry = self._entries.get(key)
        if entry is None or entry.at <= self._clock.now() - KEPT_SECONDS:
            self._entries[key] = Entry(fingerprint, self._clock.now(), request_id)
            return None
        if entry.fingerprint != fingerprint:
            raise KeyReused
        if entry.body is None:
            raise KeyInUse
        return entry

    def finish(self, key: str, status: int, body: Json) -> None:
        """Keep the answer."""
        entry = self._entries[key]
        entry.status, entry.body = status, body

    def forget(self, key: str) -> None:
        """Let a key go whose request never ran."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget every key."""
        self._entries.clear()

    def dump(self) -> Json:
        """Return the answered keys as JSON."""
        return {key: asdict(one) for key, one in self._entries.items() if one.body is not None}

    def load(self, kept: Json) -> None:
        """Read back what `dump` returned."""
        self._entries = {key: Entry(**one) for key, one in kept.items()}


def fingerprint_of(method: str, url: str, params: Json) -> str:
    """Return a digest of what a request asks for."""
    asked = json.dumps([method, url, params], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()

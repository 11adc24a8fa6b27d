"""Everything that the simulated account holds, and the two ways to change it: add and emit.

Keys of an object that begin with `_` are the simulator's own and are never sent.
"""

from __future__ import annotations

import random
import string
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import stripe

from tools.stripe_sim.clock import SimulatedClock
from tools.stripe_sim.errors import Json, NoSuchObject

API_VERSION: Final = stripe.api_version
_ALPHABET: Final = string.ascii_letters + string.digits
_ID_CHARACTERS: Final = 24
_WITHOUT_LIVEMODE: Final = {"balance_transaction", "refund"}


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that changes the world; all None when the simulated Stripe itself does."""

    request_id: str | None = None
    idempotency_key: str | None = None


class World:
    """The objects of one test account, by kind and id, in the order of their creation."""

    def __init__(self, clock: SimulatedClock, random_source: random.Random) -> None:
        """Start empty."""
        self.clock = clock
        self.random = random_source
        self.tables: defaultdict[str, dict[str, Json]] = defaultdict(dict)
        self.cause = Cause()
        self.base_url = ""
        """Where the pages of the simulator are, without a slash at the end."""
        self.search_lag_seconds = 0
        """How old an object is before a search finds it; Stripe's index lags up to a minute."""
        self.listeners: list[Callable[[str, Json, Json | None], None]] = []

    def now(self) -> int:
        """Return seconds since 1970 (UTC)."""
        return self.clock.now()

    def new_id(self, prefix: str) -> str:
        """Return an id that nothing has yet."""
        while True:
            tail = "".join(self.random.choices(_ALPHABET, k=_ID_CHARACTERS))
            if self.find(f"{prefix}_{tail}") is None:
                return f"{prefix}_{tail}"

    def add(self, kind: str, prefix: str, **fields: Any) -> Json:
        """Create an object with the fields that every object has."""
        entry: Json = {
            "id": self.new_id(prefix),
            "object": kind,
            "created": self.now(),
            **({} if kind in _WITHOUT_LIVEMODE else {"livemode": False}),
            **fields,
        }
        self.tables[kind][entry["id"]] = entry
        return entry

    def find(self, object_id: str) -> Json | None:
        """Return an object of any kind."""
        for table in self.tables.values():
            if object_id in table:
                return table[object_id]
        return None

    def get(self, kind: str, object_id: str, param: str, *, in_path: bool = True) -> Json:
        """Return an object.

        Raises:
            NoSuchObject: there is none; `param` says which parameter named it.
        """
        found = self.tables[kind].get(object_id)
        if found is None:
            raise NoSuchObject(kind.rpartition(".")[2], param, in_path=in_path)
        return found

    def all(self, kind: str) -> list[Json]:
        """Return the objects of a kind, oldest first."""
        return list(self.tables[kind].values())

    def emit(self, type: str, changed: Json, previous: Json | None = None) -> None:
        """Tell that something happened to an object, as it is now."""
        for listener in self.listeners:
            listener(type, changed, previous)

    def clear(self) -> None:
        """Forget every object."""
        self.tables.clear()

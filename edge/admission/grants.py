"""Grants of API keys, cached by the keyed hash of their secrets.

A lower version never replaces a higher one: an answer that was on its way while a key was revoked
cannot bring the key back.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from edge.admission.look_ups import LookUps
from kit.clock import Clock, now_micros
from kit.reasons import NotFound
from oneapi.admission.v1 import grant_pb2

MAX_GRANTS: Final = 100_000
MAX_UNKNOWN: Final = 10_000
UNKNOWN_SECONDS: Final = 1.0
"""How long an unknown secret is refused without asking core again."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
State = grant_pb2.Grant.State


@dataclass(frozen=True, slots=True)
class Grant:
    """What this edge knows of one API key."""

    key_id: bytes
    workspace_id: bytes
    version: int
    state: int
    lane: int
    allowed_models: frozenset[str]
    default_model: str
    aliases: dict[str, str]
    requests_per_minute: int
    tokens_per_minute: int
    concurrent_requests: int
    expires_at_micros: int
    networks: tuple[Network, ...]
    secrets: dict[bytes, int]
    has_spend_limit: bool
    requires_zero_retention: bool = False
    """Whether only upstreams that keep nothing may serve it."""
    cors_origins: frozenset[str] = frozenset()
    """The web origins whose pages may use it."""

    @property
    def has_limits(self) -> bool:
        """Say whether any limit of its own applies to the key."""
        return bool(
            self.requests_per_minute
            or self.tokens_per_minute
            or self.concurrent_requests
            or self.has_spend_limit
        )


def grant_from(message: grant_pb2.Grant) -> Grant:
    """Return the grant of a message; a network that cannot be read admits nobody."""
    return Grant(
        key_id=message.key_id,
        workspace_id=message.workspace_id,
        version=message.version,
        state=message.state,
        lane=message.lane,
        allowed_models=frozenset(message.allowed_models),
        default_model=message.default_model,
        aliases={alias.alias: alias.model for alias in message.aliases},
        requests_per_minute=message.requests_per_minute,
        tokens_per_minute=message.tokens_per_minute,
        concurrent_requests=message.concurrent_requests,
        expires_at_micros=message.expires_at_micros,
        networks=tuple(_network(text) for text in message.allowed_networks),
        secrets={secret.secret_hash: secret.expires_at_micros for secret in message.secrets},
        has_spend_limit=message.has_spend_limit,
        requires_zero_retention=message.requires_zero_retention,
        cors_origins=frozenset(message.cors_origins),
    )


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ipaddress.ip_network("0.0.0.0/32")


class GrantCache:
    """The grants of the keys that were used lately; asks core once for each unknown secret."""

    def __init__(
        self, fetch: Callable[[list[bytes]], Awaitable[grant_pb2.Grant]], clock: Clock
    ) -> None:
        """Ask core through `fetch`, which raises `NotFound` for an unknown secret."""
        self._fetch = fetch
        self._clock = clock
        self._by_key: OrderedDict[bytes, Grant] = OrderedDict()
        self._by_hash: dict[bytes, Grant] = {}
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Grant | None]] = {}
        self._clearings = 0
        self.look_ups = LookUps()

    def __len__(self) -> int:
        """Return how many grants are kept."""
        return len(self._by_key)

    def known(self, secret_hash: bytes) -> Grant | None:
        """Return the grant of a secret that works now, without asking anybody."""
        grant = self._by_hash.get(secret_hash)
        if grant is None:
            return None
        expires = grant.secrets.get(secret_hash, -1)
        if expires and expires <= now_micros(self._clock):
            return None
        return grant

    def is_current(self, grant: Grant) -> bool:
        """Say whether nothing newer is known of the key."""
        return self._by_key.get(grant.key_id) is grant

    async def find(self, secret_hashes: list[bytes], peer: str = "") -> Grant | None:
        """Return the grant of a secret, from core if need be; None if nobody knows it.

        Raises:
            Unavailable: the secret is not cached and core cannot be asked.
            TooManyLookUps: nor may it be asked now, as too many look-ups are under way.
        """
        for secret_hash in secret_hashes:
            grant = self.known(secret_hash)
            if grant is not None:
                return grant
        name = secret_hashes[0]
        if self._unknown.get(name, 0.0) > self._clock.monotonic():
            return None
        task = self._asking.get(name)
        if task is None:
            self.look_ups.reserve(peer)
            task = asyncio.create_task(self._ask(secret_hashes, peer))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(task)

    async def _ask(self, secret_hashes: list[bytes], peer: str) -> Grant | None:
        try:
            async with self.look_ups.place(peer):
                message = await self._fetched(secret_hashes)
        except NotFound:
            self._note_unknown(secret_hashes[0])
            return None
        self.put(grant_from(message))
        return next(
            (grant for item in secret_hashes if (grant := self.known(item)) is not None), None
        )

    async def _fetched(self, secret_hashes: list[bytes]) -> grant_pb2.Grant:
        while True:
            clearings = self._clearings
            message = await self._fetch(secret_hashes)
            # An answer from before a clearing may miss a change that no feed will bring.
            if clearings == self._clearings:
                return message

    def _note_unknown(self, secret_hash: bytes) -> None:
        self._unknown[secret_hash] = self._clock.monotonic() + UNKNOWN_SECONDS
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)

    def put(self, grant: Grant) -> None:
        """Keep a grant, unless a newer version of it is here."""
        before = self._by_key.get(grant.key_id)
        if before is not None:
            if before.version >= grant.version:
                return
            self._forget(before)
        self._by_key[grant.key_id] = grant
        for secret_hash in grant.secrets:
            self._by_hash[secret_hash] = grant
            self._unknown.pop(secret_hash, None)
        while len(self._by_key) > MAX_GRANTS:
            self._forget(next(iter(self._by_key.values())))

    def refresh(self, grant: Grant) -> None:
        """Take a changed grant from the feed if its key is known here or was just refused."""
        for secret_hash in grant.secrets:
            self._unknown.pop(secret_hash, None)
        # A look-up in flight may bring the version before: keep the newer one beside it.
        if grant.key_id in self._by_key or self._asking:
            self.put(grant)

    def clear(self) -> None:
        """Forget everything: the feed no longer reaches back far enough."""
        self._by_key.clear()
        self._by_hash.clear()
        self._unknown.clear()
        self._clearings += 1

    def _forget(self, grant: Grant) -> None:
        self._by_key.pop(grant.key_id, None)
        for secret_hash in grant.secrets:
            self._by_hash.pop(secret_hash, None)

"""Rate, concurrency and spend limits of keys, by slices that core hands out.

Core never grants more than the limit over all edges; this edge spends its slices without asking. A
key without limits costs nothing here. While core is away the edge goes on with what it had in the
last whole minute: that bounds the rate, as leases bound the money.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge.admission.grants import Grant
from edge.admission.spend import Spend, SpendCalls, SpendSlice
from kit.clock import Clock
from kit.reasons import RateLimited, Unavailable
from oneapi.admission.v1 import admission_service_pb2 as pb2

WINDOW_SECONDS: Final = 60.0
SLICES: Final = 20
"""A slice is about this part of a minute's limit, at least one request."""
SPEND_SLICE_HOLDS: Final = 4
REFUSED_SECONDS: Final = 0.25
"""How long core is not asked again after it had too little to give."""
PERMIT_SECONDS: Final = 50.0


@dataclass(frozen=True, slots=True)
class SpendNeed:
    """What one request asks of its key's spend limits: its worst case, on the day of its id."""

    day: int
    nanos: int


class LimitCalls(SpendCalls, Protocol):
    """The calls to core that limits need."""

    async def acquire_limits(
        self,
        key_id: bytes,
        *,
        requests: int,
        tokens: int,
        concurrent: int,
        spend: int,
        spend_needed: int,
        spend_day: int,
    ) -> pb2.AcquireLimitsResponse:
        """Take slices; Unavailable."""


@dataclass(slots=True)
class KeyUse:
    """What one key has left on this edge."""

    window_ends: float = 0.0
    requests: int = 0
    tokens: int = 0
    granted_requests: int = 0
    granted_tokens: int = 0
    requests_left: int = 0
    tokens_left: int = 0
    permits: int = 0
    permits_until: float = 0.0
    running: int = 0
    is_counted: bool = False
    """Whether core counts the requests that run at once."""
    refused_until: float = 0.0
    spent_up: SpendNeed | None = None
    """The day and the least amount that core said its spend limits will not have again."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class LimitState:
    """What the limit headers of an answer say; never more than is left."""

    limit_requests: int
    limit_tokens: int
    remaining_requests: int
    remaining_tokens: int
    reset_seconds: float
    window_ends: float
    """The monotonic second at which the counted minute ends."""
    spend: SpendSlice | None = None
    """Where the request's worst case is set aside, if its key has spend limits."""


class Limits:
    """The limits of all keys on this edge."""

    def __init__(self, calls: LimitCalls, clock: Clock) -> None:
        """Ask core through the calls."""
        self._calls = calls
        self._clock = clock
        self._keys: dict[bytes, KeyUse] = {}
        self.spend = Spend(calls, clock)

    async def admit(self, grant: Grant, tokens: int, need: SpendNeed) -> LimitState | None:
        """Count one request of a key with limits; None for a key without.

        Raises:
            RateLimited: a limit is used up, `limit` says which; `retry_ms` when to come again, or
            there is none, because coming again does not help.
        """
        if not grant.has_limits:
            return None
        use = self._keys.setdefault(grant.key_id, KeyUse())
        self._roll(use)
        if self._lacks(grant, use, tokens, need) and not self._was_refused(use):
            # One at a time, so that a burst does not take the slices of all other edges.
            async with use.asking:
                if self._lacks(grant, use, tokens, need) and not self._was_refused(use):
                    await self._acquire(grant, use, tokens, need)
                    if self._lacks(grant, use, tokens, need):
                        use.refused_until = self._clock.monotonic() + REFUSED_SECONDS
        self._refuse_if_lacking(grant, use, tokens, need)
        use.requests -= 1
        use.tokens -= tokens
        use.running += 1
        return self._state(grant, use, self._take_spend(grant, need))

    def done(
        self,
        grant: Grant,
        admitted: LimitState,
        *,
        unused_tokens: int,
        unspent_nanos: int,
        unserved: int = 0,
    ) -> None:
        """Give back what an admitted request reserved and did not use.

        `unserved` is 1 for a request that was refused after all, else 0.
        """
        use = self._keys[grant.key_id]
        use.running -= 1
        if admitted.spend is not None:
            admitted.spend.settle(unspent_nanos)
        # What was of a minute that is over is not to be had in the next one.
        if admitted.window_ends == use.window_ends:
            use.tokens += unused_tokens
            use.requests += unserved

    async def renew_permits(self) -> None:
        """Keep the permits of requests that run for longer than a permit lives.

        Raises:
            Unavailable: core cannot be reached; the next renewal says it again.
        """
        for key_id, use in list(self._keys.items()):
            async with use.asking:
                if use.is_counted and use.running:
                    await self._renew_permits(key_id, use)

    async def _renew_permits(self, key_id: bytes, use: KeyUse) -> None:
        answer = await self._calls.acquire_limits(
            key_id,
            requests=0,
            tokens=0,
            concurrent=use.running,
            spend=0,
            spend_needed=0,
            spend_day=0,
        )
        self._apply_permits(use, answer)

    def state(self, grant: Grant) -> LimitState | None:
        """Return what is left for the key, None for a key without limits."""
        use = self._keys.get(grant.key_id)
        return None if use is None or not grant.has_limits else self._state(grant, use, None)

    def _state(self, grant: Grant, use: KeyUse, spend: SpendSlice | None) -> LimitState:
        return LimitState(
            limit_requests=grant.requests_per_minute,
            limit_tokens=grant.tokens_per_minute,
            remaining_requests=max(0, use.requests + use.requests_left),
            remaining_tokens=max(0, use.tokens + use.tokens_left),
            reset_seconds=max(0.0, use.window_ends - self._clock.monotonic()),
            window_ends=use.window_ends,
            spend=spend,
        )

    def _take_spend(self, grant: Grant, need: SpendNeed) -> SpendSlice | None:
        if not grant.has_spend_limit or not need.nanos:
            return None
        return self.spend.of(grant.key_id).take(need.day, need.nanos, self._clock.monotonic())

    def _spend_left(self, grant: Grant, need: SpendNeed) -> int:
        return self.spend.of(grant.key_id).free(need.day, self._clock.monotonic())

    def _roll(self, use: KeyUse) -> None:
        if self._clock.monotonic() >= use.window_ends:
            use.requests = use.tokens = 0
            use.requests_left = use.tokens_left = 0

    def _was_refused(self, use: KeyUse) -> bool:
        # A storm of requests beyond a limit stays here instead of queueing for core.
        return self._clock.monotonic() < use.refused_until

    def _lacks(self, grant: Grant, use: KeyUse, tokens: int, need: SpendNeed) -> bool:
        return self._lacking(grant, use, tokens, need) is not None

    def _lacking(self, grant: Grant, use: KeyUse, tokens: int, need: SpendNeed) -> str | None:
        if grant.requests_per_minute and use.requests < 1:
            return "requests"
        if grant.tokens_per_minute and use.tokens < tokens:
            return "tokens"
        expired = self._clock.monotonic() >= use.permits_until
        if grant.concurrent_requests and (expired or use.running >= use.permits):
            return "concurrency"
        if grant.has_spend_limit and self._spend_left(grant, need) < need.nanos:
            return "spend"
        return None

    def _refuse_if_lacking(self, grant: Grant, use: KeyUse, tokens: int, need: SpendNeed) -> None:
        limit = self._lacking(grant, use, tokens, need)
        if limit is None:
            return
        if limit == "spend" and self._is_spent_up(grant, use, need):
            raise RateLimited(limit=limit)
        left = max(0.0, use.window_ends - self._clock.monotonic())
        by_minute = left and limit in ("requests", "tokens")
        raise RateLimited(limit=limit, retry_ms=int(left * 1000) + 1 if by_minute else 1_000)

    def _is_spent_up(self, grant: Grant, use: KeyUse, need: SpendNeed) -> bool:
        """Say whether the spend will not come back: from no other edge, and no request here."""
        spent = use.spent_up
        if spent is None or spent.day != need.day or use.running:
            return False
        if self.spend.of(grant.key_id).has_free_on_others_than(need.day):
            return False
        return need.nanos - self._spend_left(grant, need) >= spent.nanos

    async def _acquire(self, grant: Grant, use: KeyUse, tokens: int, need: SpendNeed) -> None:
        want_tokens = max(tokens - use.tokens, grant.tokens_per_minute // SLICES)
        lacking = 0
        if grant.has_spend_limit:
            # More than the request's where charges beyond their holds used up more than there was.
            lacking = max(0, need.nanos - self._spend_left(grant, need))
        use.spent_up = None
        use.is_counted = grant.concurrent_requests > 0
        sent_at = self._clock.monotonic()
        try:
            answer = await self._calls.acquire_limits(
                grant.key_id,
                requests=max(1, grant.requests_per_minute // SLICES),
                tokens=max(0, want_tokens) if grant.tokens_per_minute else 0,
                concurrent=use.running + 1 if grant.concurrent_requests else 0,
                spend=max(lacking, need.nanos * SPEND_SLICE_HOLDS) if lacking else 0,
                spend_needed=lacking,
                spend_day=need.day,
            )
        except Unavailable:
            self._go_on_alone(use)
            return
        self._apply(use, answer)
        if answer.HasField("spend_slice"):
            self.spend.of(grant.key_id).apply(answer.spend_slice, sent_at)
            if not answer.spend_nanos and not answer.spend_may_come_back:
                use.spent_up = SpendNeed(need.day, lacking)

    def _apply(self, use: KeyUse, answer: pb2.AcquireLimitsResponse) -> None:
        now = self._clock.monotonic()
        ends = now + answer.window_remaining_ms / 1000
        if ends > use.window_ends + 1.0:
            use.granted_requests = use.granted_tokens = 0
            # What was given back while core was asked belongs to the minute that is over.
            use.requests = use.tokens = 0
            use.window_ends = ends
        use.requests += answer.requests
        use.tokens += answer.tokens
        use.granted_requests += answer.requests
        use.granted_tokens += answer.tokens
        use.requests_left, use.tokens_left = answer.requests_left, answer.tokens_left
        self._apply_permits(use, answer)

    def _apply_permits(self, use: KeyUse, answer: pb2.AcquireLimitsResponse) -> None:
        use.permits = answer.concurrent_requests
        use.permits_until = self._clock.monotonic() + PERMIT_SECONDS

    def _go_on_alone(self, use: KeyUse) -> None:
        # Only once a minute, and only what core had granted for a whole one.
        now = self._clock.monotonic()
        if now >= use.window_ends and (use.granted_requests or use.granted_tokens):
            use.window_ends = now + WINDOW_SECONDS
            use.requests, use.tokens = use.granted_requests, use.granted_tokens
        use.permits_until = max(use.permits_until, now + PERMIT_SECONDS if use.permits else 0.0)

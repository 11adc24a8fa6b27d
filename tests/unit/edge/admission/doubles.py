"""What admission is given in its tests: a clock that a test sets, and a core made of dicts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.admission.grants import Grant, State, grant_from
from kit.reasons import CreditInUse, InsufficientCredits, NotFound, Unavailable
from oneapi.admission.v1 import admission_service_pb2 as pb2
from oneapi.admission.v1 import grant_pb2, lease_pb2, spend_pb2

START_MICROS = 1_764_000_000_000_000
WORKSPACE = b"w" * 16
KEY = b"k" * 16
SECRET_HASH = b"h" * 32
LIFETIME_MS = 600_000


@dataclass(slots=True)
class ManualClock:
    """Stands still until a test moves it."""

    seconds: float = 1_000.0

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 (UTC)."""
        return START_MICROS * 1_000 + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return self.seconds

    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self.seconds += seconds


@dataclass(slots=True)
class LeaseAtCore:
    """One lease as core's ledger has it."""

    lease_id: bytes
    granted: int = 0
    returned: int = 0


@dataclass(slots=True)
class CoreLedger:
    """Core's side of credit for one workspace: a wallet, and the leases that were cut from it."""

    wallet: int
    extra: int = 0
    """Given beyond what is needed, as far as the wallet reaches."""
    by_rate: bool = False
    """Give what the rate spends in a lifetime, at most half of the wallet, as core does."""
    held_elsewhere: int = 0
    away: bool = False
    lose_answers: int = 0
    """So many calls are carried out although their answers never arrive."""
    delay_seconds: float = 0.0
    """How long credit takes to be granted."""
    leases: dict[bytes, LeaseAtCore] = field(default_factory=dict)
    current: LeaseAtCore | None = None
    acquired: list[tuple[int, int]] = field(default_factory=list)
    """Number and need of each acquisition."""

    async def acquire(
        self,
        workspace_id: bytes,
        number: int,
        needed: int,
        rate: int,
        returning: tuple[bytes, int] | None,
    ) -> lease_pb2.CreditLease:
        """Take credit."""
        await asyncio.sleep(self.delay_seconds)
        self.acquired.append((number, needed))
        if self.away:
            raise Unavailable
        if returning is not None:
            self._take_back(*returning)
        if needed > self.wallet:
            known = {
                "available_nanos": self.wallet,
                "needed_nanos": needed,
                "held_elsewhere_nanos": self.held_elsewhere,
            }
            if needed <= self.wallet + self.held_elsewhere:
                raise CreditInUse(**known)
            raise InsufficientCredits(**known)
        amount = min(self.wallet, needed + self.extra)
        if self.by_rate:
            amount = max(needed, min(rate * LIFETIME_MS // 1000, self.wallet // 2))
        if self.current is None:
            self.current = LeaseAtCore(len(self.leases).to_bytes(16, "big"))
            self.leases[self.current.lease_id] = self.current
        self.wallet -= amount
        self.current.granted += amount
        return self._answer(self.current)

    async def renew(self, leases: dict[bytes, int]) -> list[lease_pb2.CreditLease]:
        """Keep leases alive and take back what was returned."""
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable
        for lease_id, returned_total in leases.items():
            self._take_back(lease_id, returned_total)
        found = [self.leases[one] for one in leases if one in self.leases]
        answers = [self._answer(lease) for lease in found]
        return answers or ([] if self.lose_answers == 0 else self._lose())

    def _take_back(self, lease_id: bytes, returned_total: int) -> None:
        lease = self.leases.get(lease_id)
        if lease is not None and returned_total > lease.returned:
            self.wallet += returned_total - lease.returned
            lease.returned = returned_total

    def end_lease(self) -> None:
        """Close the lease: what it holds goes back to the wallet."""
        assert self.current is not None
        del self.leases[self.current.lease_id]
        self.current = None

    def _answer(self, lease: LeaseAtCore) -> lease_pb2.CreditLease:
        if self.lose_answers:
            self._lose()
        return lease_pb2.CreditLease(
            lease_id=lease.lease_id,
            workspace_id=WORKSPACE,
            granted_total_nanos=lease.granted,
            returned_total_nanos=lease.returned,
            lifetime_ms=LIFETIME_MS,
            available_nanos=self.wallet,
        )

    def _lose(self) -> list[lease_pb2.CreditLease]:
        self.lose_answers -= 1
        raise Unavailable


@dataclass(slots=True)
class SliceAtCore:
    """One slice of a spend limit as core has it."""

    slice_id: bytes
    day: int
    granted: int = 0
    returned: int = 0


@dataclass(slots=True)
class CoreLimits:
    """Core's side of limits: what a minute still has, in slices as they are asked for."""

    requests: int = 0
    tokens: int = 0
    permits: int = 0
    spend: int = 0
    window_ms: int = 60_000
    others_have_spend: bool = False
    away: bool = False
    calls: int = 0
    concurrent: list[int] = field(default_factory=list)
    """What each call wanted to run at once."""
    lose_answers: int = 0
    """So many calls are carried out although their answers never arrive."""
    slices: dict[int, SliceAtCore] = field(default_factory=dict)
    opened: int = 0

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
        """Hand out slices."""
        await asyncio.sleep(0)
        self.calls += 1
        self.concurrent.append(concurrent)
        if self.away:
            raise Unavailable
        given_requests, given_tokens = min(requests, self.requests), min(tokens, self.tokens)
        self.requests -= given_requests
        self.tokens -= given_tokens
        answer = pb2.AcquireLimitsResponse(
            requests=given_requests,
            tokens=given_tokens,
            concurrent_requests=min(concurrent, self.permits),
            window_remaining_ms=self.window_ms,
            requests_left=self.requests,
            tokens_left=self.tokens,
        )
        if spend:
            granted = min(spend, self.spend) if self.spend >= spend_needed else 0
            answer.spend_slice.CopyFrom(self._grow(spend_day, granted))
            answer.spend_nanos = granted
            answer.spend_may_come_back = not granted and self.others_have_spend
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable
        return answer

    def _grow(self, day: int, granted: int) -> spend_pb2.SpendSlice:
        if day not in self.slices:
            self.opened += 1
            self.slices[day] = SliceAtCore(self.opened.to_bytes(16, "big"), day)
        self.spend -= granted
        self.slices[day].granted += granted
        return _slice_message(self.slices[day])

    async def renew_spend(self, slices: dict[bytes, int]) -> list[spend_pb2.SpendSlice]:
        """Keep slices alive and take back what was returned."""
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable
        known = [one for one in self.slices.values() if one.slice_id in slices]
        for one in known:
            total = slices[one.slice_id]
            self.spend += max(0, total - one.returned)
            one.returned = max(one.returned, total)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable
        return [_slice_message(one) for one in known]


def _slice_message(one: SliceAtCore) -> spend_pb2.SpendSlice:
    return spend_pb2.SpendSlice(
        slice_id=one.slice_id,
        day=one.day,
        granted_total_nanos=one.granted,
        returned_total_nanos=one.returned,
        lifetime_ms=LIFETIME_MS,
    )


@dataclass(slots=True)
class CoreGrants:
    """Core's side of grants: finds them by hash; answers wait while a test holds the door."""

    grants: dict[bytes, grant_pb2.Grant] = field(default_factory=dict)
    asked: int = 0
    door: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, secret_hashes: list[bytes]) -> grant_pb2.Grant:
        """Find a grant: what is found is decided before the answer travels."""
        self.asked += 1
        found = [self.grants[one] for one in secret_hashes if one in self.grants]
        await self.door.wait()
        if not found:
            raise NotFound
        return found[0]


def grant_message(
    version: int = 1,
    *,
    secrets: Iterable[bytes] = (SECRET_HASH,),
    state: grant_pb2.Grant.State.ValueType = State.STATE_ACTIVE,
    **fields: object,
) -> grant_pb2.Grant:
    """Return a grant as core sends it."""
    return grant_pb2.Grant(
        key_id=KEY,
        workspace_id=WORKSPACE,
        version=version,
        state=state,
        secrets=[grant_pb2.GrantSecret(secret_hash=one) for one in secrets],
        **fields,  # type: ignore[arg-type]
    )


def grant(**fields: object) -> Grant:
    """Return a grant as the edge keeps it."""
    return grant_from(grant_message(**fields))  # type: ignore[arg-type]

"""Credit that this edge may spend: leases from core, and the holds of running requests in them.

    free = granted - returned - used - held

Core moved `granted` out of the wallet before we may use it, so the sum of all holds on all edges
can never exceed the credit that was there. Totals only grow, so that every call may be repeated.
No call to core is needed as long as the lease has room.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

from edge.admission.batches import batches
from edge.admission.lease import Lease, LeaseCalls
from kit.clock import Clock
from kit.reasons import CreditInUse, DomainError, InsufficientCredits, Unavailable
from oneapi.admission.v1 import lease_pb2

STOP_BEFORE_SECONDS: Final = 5.0
"""No request is admitted on a lease in the last seconds of its lifetime."""
IDLE_SECONDS: Final = 30.0
"""A lease without requests for so long gives its free part back."""
REFUSED_SECONDS: Final = 0.25
"""How long a refusal of core is repeated without asking again."""
WAIT_SECONDS: Final = 2.0
"""How long a request waits for credit that others hold, here or on other edges."""
RATE_SECONDS: Final = 60.0
"""The time constant of the spend rate that sizes leases."""
MAX_RENEWALS: Final = 10_000
"""Leases in one renewal call, the contract's limit."""
RATE_SECONDS_MIN: Final = 5.0
"""So much time is taken as the age of a spend rate that is younger."""
REFILL_SECONDS: Final = 5.0
"""A lease whose free part covers less than this time is made larger in the background at once."""
LOOK_SECONDS: Final = 1.0
"""How often the spend rate is looked at, so that the common path need not compute it."""
TOP_UP_SECONDS: Final = 15.0
"""A lease that does not cover its whole lifetime is made larger in the background this often, or
eight times in a shorter lifetime."""
HEADROOM: Final = 1.1
"""What a lease shall cover, in its lifetimes: a spend rate is never quite what comes."""


class Hold:
    """Credit set aside for one request, settled exactly once; later calls do nothing."""

    __slots__ = ("_account", "_lease", "nanos", "open")

    def __init__(self, account: WorkspaceCredit, lease: Lease, nanos: int) -> None:
        """Belong to a lease for so many nano-US-dollars."""
        self._account = account
        self._lease = lease
        self.nanos = nanos
        self.open = True

    def settle(self, charge_nanos: int) -> None:
        """End the hold with a charge, which may be zero."""
        if self.open:
            self.open = False
            self._lease.held -= self.nanos
            self._lease.used += charge_nanos
            self._account.note_spend(charge_nanos)
            self._account.serve()


class NothingHeld:
    """Stands for the hold of a request that costs nothing."""

    __slots__ = ()
    nanos = 0

    def settle(self, charge_nanos: int) -> None:
        """Do nothing: there is nothing to charge."""


class Waiter:
    """A request that waits for a hold."""

    __slots__ = ("hold", "nanos")

    def __init__(self, nanos: int) -> None:
        """Wait for so many nano-US-dollars; needs a running loop."""
        self.nanos = nanos
        self.hold: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()

    def refuse(self, error: BaseException) -> None:
        """End the wait without a hold."""
        if not self.hold.done():
            self.hold.set_exception(error)

    def give_up(self) -> None:
        """Nobody waits any more: a hold that came at the last moment goes back."""
        if not self.hold.done():
            self.hold.cancel()
        elif not self.hold.cancelled() and self.hold.exception() is None:
            self.hold.result().settle(0)


class WorkspaceCredit:
    """The credit of one workspace on this edge.

    Requests that find no room wait in one line, first come, first served; whoever fits later does
    not overtake as long as core says that credit will come back. The line moves when a hold here
    ends and when core grants more. What is free here and too little for the first in line goes back
    to core with the second question for more: core grants a whole hold or nothing, so two edges
    with half a hold each never keep it from one another.
    """

    def __init__(
        self, workspace_id: bytes, calls: LeaseCalls, clock: Clock, wait_seconds: float
    ) -> None:
        """Start without a lease."""
        self.workspace_id = workspace_id
        self.lease: Lease | None = None
        self.wallet_available = 0
        self._calls = calls
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._number = 0
        self._asking: asyncio.Task[None] | None = None
        self._line: deque[Waiter] = deque()
        self._waiting = 0
        self._in_use = False
        self._refill_at = 0.0
        self._refused: tuple[float, int, DomainError] | None = None
        self._lifetime_seconds = 0.0
        self._low = 0
        self._look_at = self._top_up_at = 0.0
        self._rate = 0.0
        self._rate_at = self._rate_since = clock.monotonic()
        self._used_at = clock.monotonic()

    @property
    def free(self) -> int:
        """Return what new holds may take now: nothing once the lease's lifetime is over."""
        if self.lease is None or self._clock.monotonic() >= self.lease.deadline:
            return 0
        return self.lease.free

    @property
    def available(self) -> int:
        """Return what a new request might get: free here and available in the wallet."""
        return self.wallet_available + max(0, self.free)

    def try_take(self, nanos: int) -> Hold | None:
        """Take a hold if the lease has room; this is the whole common path."""
        # While core is away nothing comes for those who wait: who fits may overtake.
        if self._in_use and self._first() is not None:
            return None
        return self._take_now(nanos)

    def _take_now(self, nanos: int) -> Hold | None:
        self._used_at = self._clock.monotonic()
        lease = self.lease
        if lease is None or self._used_at >= lease.deadline or lease.free < nanos:
            return None
        lease.held += nanos
        if self._used_at >= self._look_at or lease.free < max(nanos, self._low):
            self._keep_filled(lease, nanos)
        return Hold(self, lease, nanos)

    async def take(self, nanos: int) -> Hold:
        """Take a hold, with credit from core if need be; wait a moment for credit in use.

        Raises:
            InsufficientCredits, CreditInUse, WorkspaceNotActive, EpochFenced, Unavailable.
        """
        hold = self.try_take(nanos)
        if hold is not None:
            return hold
        self._raise_if_refused(nanos)
        waiter = Waiter(nanos)
        self._line.append(waiter)
        self._waiting += nanos
        self._ask()
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await waiter.hold
        except TimeoutError:
            self._leave(waiter)
            raise (CreditInUse() if self._in_use else Unavailable(cause="credit")) from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        finally:
            self._waiting -= nanos

    def _leave(self, waiter: Waiter) -> None:
        waiter.give_up()
        # What was too little for this one may do for the next.
        self.serve()

    async def learn(self) -> None:
        """Have a lease, so that the wallet's available credit is known.

        Raises:
            As `take`.
        """
        if self.lease is None:
            (await self.take(1)).settle(0)

    def serve(self) -> None:
        """Give holds to those who wait, in their order, as long as there is room."""
        while self._line:
            first = self._first()
            hold = None if first is None else self._take_now(first.nanos)
            if first is None or hold is None:
                return
            self._line.popleft()
            first.hold.set_result(hold)

    def _first(self) -> Waiter | None:
        while self._line and self._line[0].hold.done():
            self._line.popleft()
        return self._line[0] if self._line else None

    def _first_without_room(self) -> Waiter | None:
        # Core is asked only for what the lease does not have: whoever is first now may find room.
        self.serve()
        return self._first()

    def _raise_if_refused(self, nanos: int) -> None:
        if self._refused is None:
            return
        until, refused_nanos, error = self._refused
        if self._clock.monotonic() >= until:
            self._refused = None
        elif nanos >= refused_nanos and nanos > self.free:
            raise _again(error)

    def _keep_filled(self, lease: Lease, nanos: int) -> None:
        rate, free = self.spend_rate(), lease.free
        self._low = int(rate * REFILL_SECONDS)
        self._look_at = self._used_at + LOOK_SECONDS
        if free < max(nanos, self._low):
            self._refill(nanos)
        elif free < rate * self._lifetime_seconds and self._used_at >= self._top_up_at:
            # What is here must last for as long as this edge may be without core.
            pause = min(TOP_UP_SECONDS, self._lifetime_seconds / 8)
            self._top_up_at = self._used_at + pause
            self._refill(1)

    def _refill(self, nanos: int) -> None:
        # Ahead of need and never waited for: a refusal only means that the next take asks itself.
        rests = self._asking is not None or self._used_at < self._refill_at
        if not rests and self.wallet_available > nanos:
            self._start(nanos)

    def _ask(self) -> None:
        if self._asking is None:
            self._start(0)

    def _start(self, ahead: int) -> None:
        self._asking = asyncio.create_task(self._ask_core(ahead))
        self._asking.add_done_callback(self._on_asked)

    def _on_asked(self, asking: asyncio.Task[None]) -> None:
        """Let those who wait see a fault of ours, if there was one."""
        fault = None if asking.cancelled() else asking.exception()
        if fault is not None:
            for waiter in self._line:
                waiter.refuse(fault)

    async def _ask_core(self, ahead: int) -> None:
        """Ask once ahead of need, then for the first in line as long as somebody waits."""
        try:
            if ahead:
                await self._ask_ahead(ahead)
            asked_for = None
            while (first := self._first_without_room()) is not None:
                await self._ask_for(first, whole=first is asked_for)
                asked_for = first
        finally:
            self._asking = None

    async def _ask_ahead(self, nanos: int) -> None:
        try:
            await self._acquire(nanos, None)
        except DomainError:
            self._refill_at = self._clock.monotonic() + REFUSED_SECONDS

    async def _ask_for(self, first: Waiter, *, whole: bool) -> None:
        """Ask for what a hold lacks or, if that was in vain, give the rest back and ask for all.

        Not at once: while core is away, smaller requests go on with what is free here.
        """
        if whole:
            self.give_back(everything=True)
        lease = self.lease
        returning = (lease.lease_id, lease.returned) if lease is not None and whole else None
        # More than the hold where charges beyond their holds have used up more than there was.
        needed = first.nanos - (0 if lease is None else lease.free)
        try:
            await self._acquire(max(1, needed), returning)
            self._in_use = False
        except CreditInUse:
            # It comes back, from other edges through core or from requests that end here.
            self._in_use = True
            await asyncio.sleep(REFUSED_SECONDS)
        except DomainError as error:
            self._in_use = False
            self._refuse(error, first.nanos if isinstance(error, InsufficientCredits) else 0)

    def _refuse(self, error: DomainError, nanos: int) -> None:
        # For a moment nobody asks again for as much: a storm of refused requests stays here, and
        # those who wait while core is away learn it together.
        self._refused = (self._clock.monotonic() + REFUSED_SECONDS, nanos, _again(error))
        free = self.free
        for waiter in self._line:
            if waiter.nanos >= nanos and waiter.nanos > free:
                waiter.refuse(_again(error))
        self.serve()

    async def _acquire(self, needed: int, returning: tuple[bytes, int] | None) -> None:
        try:
            sent_at = self._clock.monotonic()
            self._number += 1
            message = await self._calls.acquire(
                self.workspace_id, self._number, needed, self._uncovered_rate(), returning
            )
            self.apply(message, sent_at)
        except DomainError as answer:
            self._learn_from(answer)
            raise self._as_seen_here(answer, needed) from None

    def _uncovered_rate(self) -> int:
        """Return the spend rate that the free part does not cover for the lease's lifetime."""
        covered = self.free / self._lifetime_seconds if self._lifetime_seconds else 0.0
        # Requests that wait count as spend to come, so that one call serves a burst.
        coming = self._waiting / RATE_SECONDS
        return int(max(0.0, self.spend_rate() * HEADROOM - covered) + coming)

    def _learn_from(self, refusal: DomainError) -> None:
        available = refusal.metadata.get("available_nanos")
        if available is not None:
            self.wallet_available = int(available)

    def _as_seen_here(self, answer: DomainError, needed: int) -> DomainError:
        """Say `CreditInUse` where requests that run here hold what is lacking: it comes back."""
        if not isinstance(answer, InsufficientCredits) or self.lease is None:
            return answer
        elsewhere = int(answer.metadata.get("held_elsewhere_nanos", 0))
        held = self.lease.held
        if held and self.wallet_available + elsewhere + held >= needed:
            return CreditInUse()
        return answer

    def apply(self, message: lease_pb2.CreditLease, sent_at: float) -> None:
        """Take over what core says of the lease; its lifetime counts from the sending."""
        lease = self.lease
        if lease is None or lease.lease_id != message.lease_id:
            lease = self.lease = Lease(message.lease_id)
            lease.returned = message.returned_total_nanos
        lease.granted = max(lease.granted, message.granted_total_nanos)
        lifetime = self._lifetime_seconds = message.lifetime_ms / 1000
        usable = lifetime - min(STOP_BEFORE_SECONDS, lifetime / 4)
        lease.deadline = max(lease.deadline, sent_at + usable)
        self.wallet_available = message.available_nanos
        self.serve()

    def ended(self, lease_id: bytes) -> None:
        """Forget a lease that core no longer has; running holds settle against it all the same."""
        if self.lease is not None and self.lease.lease_id == lease_id:
            self.lease = None

    def give_back(self, *, everything: bool) -> None:
        """Mark the free part as returned, if all is asked for or nothing was used lately."""
        lease = self.lease
        idle = self._clock.monotonic() - self._used_at >= IDLE_SECONDS
        if lease is not None and lease.free > 0 and (everything or idle):
            lease.returned += lease.free

    def note_spend(self, charge_nanos: int) -> None:
        """Add a charge to the spend rate, an exponential average in nano-US-dollars a second."""
        now = self._clock.monotonic()
        if now - self._rate_at > RATE_SECONDS * 5:
            self._rate_since = now  # what was before has faded: the average begins anew
        self._rate = self._faded(now) + charge_nanos / RATE_SECONDS
        self._rate_at = now

    def spend_rate(self) -> float:
        """Return the spend rate of the last minute or so; it sizes leases, never charges.

        A young average has seen only a part of its minute and is corrected for that.
        """
        now = self._clock.monotonic()
        age = max(RATE_SECONDS_MIN, now - self._rate_since)
        return self._faded(now) / -math.expm1(-age / RATE_SECONDS)

    def _faded(self, now: float) -> float:
        return self._rate * math.exp((self._rate_at - now) / RATE_SECONDS)


class Credit:
    """The credit of all workspaces on this edge."""

    def __init__(
        self, calls: LeaseCalls, clock: Clock, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """Ask core through the calls."""
        self._calls = calls
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._accounts: dict[bytes, WorkspaceCredit] = {}

    def of(self, workspace_id: bytes) -> WorkspaceCredit:
        """Return the credit of a workspace."""
        account = self._accounts.get(workspace_id)
        if account is None:
            account = WorkspaceCredit(workspace_id, self._calls, self._clock, self._wait_seconds)
            self._accounts[workspace_id] = account
        return account

    async def renew(self) -> None:
        """Keep all leases alive and give idle free parts back.

        Raises:
            Unavailable: core cannot be reached; the leases live on until their deadlines.
        """
        for account in self._accounts.values():
            account.give_back(everything=False)
        await self._renew(list(self._accounts.values()))

    async def recall(self, lease_ids: frozenset[bytes]) -> None:
        """Give the free parts of recalled leases back at once.

        Raises:
            Unavailable: core cannot be reached; the next renewal says it again.
        """
        wanted = [
            account
            for account in self._accounts.values()
            if account.lease is not None and account.lease.lease_id in lease_ids
        ]
        for account in wanted:
            account.give_back(everything=True)
        await self._renew(wanted)

    async def _renew(self, accounts: list[WorkspaceCredit]) -> None:
        leases = {
            account.lease.lease_id: (account, account.lease.returned)
            for account in accounts
            if account.lease is not None
        }
        for batch in batches(leases, MAX_RENEWALS):
            sent_at = self._clock.monotonic()
            answers = await self._calls.renew({key: total for key, (_, total) in batch.items()})
            for message in answers:
                account, _ = batch.pop(message.lease_id, (None, 0))
                # The lease may have been replaced while the call was on its way.
                if account and account.lease and account.lease.lease_id == message.lease_id:
                    account.apply(message, sent_at)
            for lease_id, (account, _) in batch.items():
                account.ended(lease_id)

    def held_nanos(self) -> int:
        """Return the sum of all holds of current leases, for metrics."""
        return sum(account.lease.held for account in self._accounts.values() if account.lease)


def _again(error: DomainError) -> DomainError:
    """Return the same error anew: one that is raised again and again collects its tracebacks."""
    return type(error)(**error.metadata)

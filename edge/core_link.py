"""The edge's link to core: its epoch, the feed of changes, and the calls of admission.

What the feed brings takes effect at once: revoked keys, the catalogue, recalls of credit. The time
of disconnection counts from the last mark of core's poll, not from the socket: a core that hangs or
has lost its database is as far away as a dead one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import grpc

from edge.admission.catalog import EMPTY, Catalog
from edge.admission.claims import Claims, ClientKey
from edge.admission.credit import Credit
from edge.admission.grants import GrantCache, grant_from
from edge.admission.limits import Limits
from kit.clock import Clock, now_micros
from kit.log import EventLog
from kit.reasons import DomainError, EpochFenced, Unavailable
from kit.rpc.status import domain_error_of
from oneapi.admission.v1 import admission_service_pb2 as pb2
from oneapi.admission.v1 import admission_service_pb2_grpc, grant_pb2, lease_pb2, spend_pb2

CALL_SECONDS: Final = 2.0
ACQUIRE_SECONDS: Final = 5.0
"""Longer than a request waits for credit: what a slow core grants is there for the next ones."""
RENEW_SECONDS: Final = 15.0
CLOCK_SKEW_MICROS: Final = 2_000_000
"""An edge whose clock is further off stops minting ids."""
SKEW_MARKS: Final = 20
"""The clocks are compared by the quickest of so many messages: five seconds of marks."""
FEED_SILENCE_SECONDS: Final = 3.0
"""Marks come every 250 ms; a stream that is silent for longer is opened anew."""
_BACKOFF_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


class CoreCalls:
    """The calls of admission, with deadlines, as domain errors."""

    def __init__(self, channel: grpc.aio.Channel, edge_id: int = 0) -> None:
        """Call over the channel as one edge, whose slot may come later; its epoch does."""
        self.stub = admission_service_pb2_grpc.AdmissionServiceStub(channel)
        self.edge_id = edge_id
        self.epoch = 0

    async def call(self, method: Any, request: Any, seconds: float = CALL_SECONDS) -> Any:
        """Call a method.

        Raises:
            DomainError: what core answered; Unavailable if it did not.
        """
        try:
            return await method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise domain_error_of(error) from None

    async def open_epoch(self, nonce: bytes) -> pb2.OpenEpochResponse:
        """Start this process's epoch; the same nonce gets the same one."""
        request = pb2.OpenEpochRequest(edge_id=self.edge_id, boot_nonce=nonce)
        answer: pb2.OpenEpochResponse = await self.call(self.stub.OpenEpoch, request)
        self.epoch = answer.epoch
        return answer

    async def fetch_grant(self, secret_hashes: list[bytes]) -> grant_pb2.Grant:
        """Find the grant of a secret; NotFound if there is none."""
        request = pb2.GetGrantRequest(secret_hashes=secret_hashes)
        answer: pb2.GetGrantResponse = await self.call(self.stub.GetGrant, request)
        return answer.grant

    async def acquire(
        self,
        workspace_id: bytes,
        number: int,
        needed: int,
        rate: int,
        returning: tuple[bytes, int] | None,
    ) -> lease_pb2.CreditLease:
        """Take credit for a workspace; what is returned goes back first."""
        request = pb2.AcquireCreditRequest(
            edge_id=self.edge_id,
            epoch=self.epoch,
            workspace_id=workspace_id,
            acquire_number=number,
            needed_nanos=needed,
            spend_rate_nanos_per_second=rate,
        )
        if returning is not None:
            lease_id, total = returning
            request.returned.lease_id, request.returned.returned_total_nanos = lease_id, total
        answer: pb2.AcquireCreditResponse = await self.call(
            self.stub.AcquireCredit, request, ACQUIRE_SECONDS
        )
        return answer.lease

    async def renew(self, leases: dict[bytes, int]) -> list[lease_pb2.CreditLease]:
        """Keep leases alive."""
        request = pb2.RenewLeasesRequest(
            edge_id=self.edge_id,
            epoch=self.epoch,
            leases=[
                pb2.LeaseRenewal(lease_id=lease_id, returned_total_nanos=total)
                for lease_id, total in leases.items()
            ],
        )
        answer: pb2.RenewLeasesResponse = await self.call(self.stub.RenewLeases, request)
        return list(answer.leases)

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
        """Take slices of a key's limits."""
        request = pb2.AcquireLimitsRequest(
            edge_id=self.edge_id,
            epoch=self.epoch,
            key_id=key_id,
            requests=requests,
            tokens=tokens,
            concurrent_requests=concurrent,
            spend_nanos=spend,
            spend_needed_nanos=spend_needed,
            spend_day=spend_day,
        )
        seconds = ACQUIRE_SECONDS if spend else CALL_SECONDS
        answer: pb2.AcquireLimitsResponse = await self.call(
            self.stub.AcquireLimits, request, seconds
        )
        return answer

    async def renew_spend(self, slices: dict[bytes, int]) -> list[spend_pb2.SpendSlice]:
        """Keep slices of spend limits alive."""
        request = pb2.RenewSpendRequest(
            edge_id=self.edge_id,
            epoch=self.epoch,
            slices=[
                spend_pb2.SpendRenewal(slice_id=slice_id, returned_total_nanos=total)
                for slice_id, total in slices.items()
            ],
        )
        answer: pb2.RenewSpendResponse = await self.call(self.stub.RenewSpend, request)
        return list(answer.slices)

    async def claim(self, key: ClientKey) -> pb2.ClaimIdempotencyKeyResponse:
        """Claim a client's idempotency key for a request."""
        request = pb2.ClaimIdempotencyKeyRequest(
            workspace_id=key.workspace_id,
            key_hash=key.key_hash,
            request_id=key.request_id,
            edge_id=self.edge_id,
            epoch=self.epoch,
        )
        answer: pb2.ClaimIdempotencyKeyResponse = await self.call(
            self.stub.ClaimIdempotencyKey, request
        )
        return answer

    async def release(self, key: ClientKey) -> None:
        """Give the claim of a refused request up."""
        request = pb2.ReleaseIdempotencyKeyRequest(
            workspace_id=key.workspace_id, key_hash=key.key_hash, request_id=key.request_id
        )
        await self.call(self.stub.ReleaseIdempotencyKey, request)


class CoreLink:
    """Keeps this edge in step with core for as long as the process lives."""

    def __init__(
        self,
        calls: CoreCalls,
        clock: Clock,
        log: EventLog,
        *,
        disconnected_seconds: float,
        on_fenced: Callable[[], None],
    ) -> None:
        """Call `on_fenced` when another process has taken this edge's place."""
        self.calls = calls
        self.grants = GrantCache(calls.fetch_grant, clock)
        self.credit = Credit(calls, clock)
        self.limits = Limits(calls, clock)
        self.claims = Claims(calls, log)
        self.catalog: Catalog = EMPTY
        self._clock = clock
        self._log = log
        self._on_fenced = on_fenced
        self._disconnected_seconds = disconnected_seconds
        self._sequence = 0
        self._fresh_until = float("-inf")
        self._skew_micros = 0
        self._lags_micros: deque[int] = deque(maxlen=SKEW_MARKS)
        self._tasks: list[asyncio.Task[None]] = []
        self._giving_back: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()

    @property
    def usable(self) -> bool:
        """Say whether requests may be admitted: in touch with core lately, and on time."""
        in_touch = self._clock.monotonic() < self._fresh_until
        return in_touch and abs(self._skew_micros) <= CLOCK_SKEW_MICROS

    @property
    def in_touch(self) -> bool:
        """Say whether core was heard of in the last seconds, by a mark of its poll."""
        heard_at = self._fresh_until - self._disconnected_seconds
        return self._clock.monotonic() - heard_at <= FEED_SILENCE_SECONDS

    async def open(self) -> int:
        """Open the epoch, however long core takes to answer, and return it."""
        nonce = secrets.token_bytes(16)
        attempt = 0
        while True:
            try:
                answer = await self.calls.open_epoch(nonce)
            except DomainError as error:
                self._log.event("epoch_not_opened", reason=int(error.reason))
                await asyncio.sleep(_backoff(attempt))
                attempt += 1
                continue
            self._note_time(answer.server_time_micros)
            return answer.epoch

    def start(self) -> None:
        """Follow the feed and renew leases until stopped."""
        self._tasks = [
            asyncio.create_task(self._follow(), name="feed"),
            asyncio.create_task(self._renew(), name="renewals"),
            asyncio.create_task(self.claims.run(), name="claims"),
        ]

    async def stop(self) -> None:
        """End the tasks."""
        tasks = [*self._tasks, *self._giving_back]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        attempt = 0
        while True:
            try:
                async for message in self._messages():
                    self._take(message)
                    attempt = 0
            except DomainError as error:
                self._log.event("feed_lost", reason=int(error.reason))
                if isinstance(error, EpochFenced):
                    self._on_fenced()
            except Exception as error:  # noqa: BLE001  the feed outlives whatever a message brings
                self._log.fault("feed_fault", error)
            await asyncio.sleep(_backoff(attempt))
            attempt += 1

    async def _messages(self) -> Any:
        request = pb2.WatchChangesRequest(
            edge_id=self.calls.edge_id, epoch=self.calls.epoch, since_sequence=self._sequence
        )
        call = self.calls.stub.WatchChanges(request)
        try:
            while True:
                async with asyncio.timeout(FEED_SILENCE_SECONDS):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    return
                yield message
        except TimeoutError:
            raise Unavailable from None
        except grpc.RpcError as error:
            raise domain_error_of(error) from None
        finally:
            call.cancel()

    def _take(self, message: pb2.WatchChangesResponse) -> None:
        if message.reset:
            self.grants.clear()
        for grant in message.grants:
            self.grants.refresh(grant_from(grant))
        if message.HasField("catalog") and message.catalog.version > self.catalog.version:
            self.catalog = Catalog(message.catalog)
        self._sequence = max(self._sequence, message.sequence)
        late_micros = self._note_time(message.server_time_micros)
        age_micros = max(0, message.server_time_micros - message.polled_at_micros) + late_micros
        seconds = self._disconnected_seconds - age_micros / 1e6
        self._fresh_until = self._clock.monotonic() + seconds
        self.ready.set()
        if message.recalled_lease_ids:
            self._give_back(self.credit.recall(frozenset(message.recalled_lease_ids)))
        if message.recalled_spend_slice_ids:
            recalled = frozenset(message.recalled_spend_slice_ids)
            self._give_back(self.limits.spend.renew(recalled))

    def _give_back(self, recall: Coroutine[Any, Any, None]) -> None:
        # Not awaited: a slow answer must not hold up a revocation behind it.
        task = asyncio.create_task(self._answer_recall(recall))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)

    async def _answer_recall(self, recall: Coroutine[Any, Any, None]) -> None:
        try:
            await recall
        except DomainError as error:
            self._log.event("recall_not_answered", reason=int(error.reason))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(min(RENEW_SECONDS, self._disconnected_seconds / 4))
            # That one kind cannot be renewed is no reason to let the others lapse.
            for renew in (self.credit.renew, self.limits.spend.renew, self.limits.renew_permits):
                await self._renewed(renew())

    async def _renewed(self, renewal: Coroutine[Any, Any, None]) -> None:
        try:
            await renewal
        except EpochFenced:
            self._on_fenced()
        except DomainError as error:
            self._log.event("leases_not_renewed", reason=int(error.reason))
        except Exception as error:  # noqa: BLE001  renewals outlive whatever an answer brings
            self._log.fault("renewal_fault", error)

    def _note_time(self, server_time_micros: int) -> int:
        """Take a time of core's; return how much longer than others the message was on its way."""
        lag = now_micros(self._clock) - server_time_micros
        self._lags_micros.append(lag)
        # A message is late whenever the wire, core or we were busy, but early only by the clock.
        self._skew_micros = min(self._lags_micros)
        return lag - self._skew_micros


def _backoff(attempt: int) -> float:
    step = _BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)]
    return step * random.uniform(0.7, 1.3)  # noqa: S311  jitter, not a secret

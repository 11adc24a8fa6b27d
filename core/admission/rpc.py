"""AdmissionService: parse, call, render. Only edges call it; only they get credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from core.admission import epochs, idempotency
from core.admission.credit import CreditDesk, CreditWish
from core.admission.grants import find_grant
from core.admission.idempotency import ClientKey
from core.admission.limit_desk import LimitDesk
from core.admission.limits import Wanted
from core.admission.watch import Watch
from core.audit import Act
from core.db.database import Pool
from core.keys.spend import SpendSlice, SpendWish
from core.ledger.model import LeaseState
from kit.clock import Clock, now, now_micros
from kit.ids import IdSource
from kit.rpc.server import Service
from oneapi.admission.v1 import admission_service_pb2 as pb
from oneapi.admission.v1 import admission_service_pb2_grpc, lease_pb2, spend_pb2

NAME = "oneapi.admission.v1.AdmissionService"
ALLOWED = dict.fromkeys(
    (
        "OpenEpoch",
        "CloseEpoch",
        "WatchChanges",
        "GetGrant",
        "AcquireCredit",
        "RenewLeases",
        "AcquireLimits",
        "RenewSpend",
        "ClaimIdempotencyKey",
        "ReleaseIdempotencyKey",
    ),
    frozenset({"edge"}),
)


class AdmissionServicer(admission_service_pb2_grpc.AdmissionServiceServicer):
    """Serves edges."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        ids: IdSource,
        desk: CreditDesk,
        watch: Watch,
    ) -> None:
        """Work on the pool's database."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._desk = desk
        self._limits = LimitDesk(pool, clock, ids, desk.terms)
        self._watch = watch

    async def OpenEpoch(self, request: pb.OpenEpochRequest, context: Any) -> pb.OpenEpochResponse:
        """Start an edge process's epoch."""
        async with self._pool.transaction("system") as tx:
            epoch = await epochs.open_epoch(tx, self._act(), request.edge_id, request.boot_nonce)
            await tx.commit()
        return pb.OpenEpochResponse(
            epoch=epoch,
            server_time_micros=now_micros(self._clock),
            disconnected_ms=self._desk.terms.disconnected_seconds * 1_000,
        )

    async def CloseEpoch(
        self, request: pb.CloseEpochRequest, context: Any
    ) -> pb.CloseEpochResponse:
        """End an epoch whose spool was shipped whole."""
        async with self._pool.transaction("system") as tx:
            closed = await epochs.close_epoch(
                tx, self._act(), request.edge_id, request.epoch, request.last_sequence
            )
            await tx.commit()
        return pb.CloseEpochResponse(
            released_nanos=closed.released_nanos, missing_frames=closed.missing_frames
        )

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: Any
    ) -> AsyncIterator[pb.WatchChangesResponse]:
        """Stream the catalogue, changed grants, recalls and marks."""
        async for message in self._watch.stream(
            request.edge_id, request.epoch, request.since_sequence
        ):
            yield message

    async def GetGrant(self, request: pb.GetGrantRequest, context: Any) -> pb.GetGrantResponse:
        """Find the grant of a secret by its keyed hash."""
        async with self._pool.transaction("system") as tx:
            grant = await find_grant(tx, request.secret_hashes, now(self._clock))
        return pb.GetGrantResponse(grant=grant)

    async def AcquireCredit(
        self, request: pb.AcquireCreditRequest, context: Any
    ) -> pb.AcquireCreditResponse:
        """Take credit for a lease."""
        wish = CreditWish(
            edge_id=request.edge_id,
            epoch=request.epoch,
            workspace_id=request.workspace_id,
            acquire_number=request.acquire_number,
            needed=request.needed_nanos,
            spend_rate=request.spend_rate_nanos_per_second,
            returned=(
                (request.returned.lease_id, request.returned.returned_total_nanos)
                if request.HasField("returned")
                else None
            ),
        )
        state = await self._desk.acquire(wish, self._watch.edges)
        return pb.AcquireCreditResponse(lease=self._lease(state))

    async def RenewLeases(
        self, request: pb.RenewLeasesRequest, context: Any
    ) -> pb.RenewLeasesResponse:
        """Keep leases alive and take free parts back."""
        renewals = [(item.lease_id, item.returned_total_nanos) for item in request.leases]
        states = await self._desk.renew(request.edge_id, request.epoch, renewals)
        return pb.RenewLeasesResponse(leases=map(self._lease, states))

    async def AcquireLimits(
        self, request: pb.AcquireLimitsRequest, context: Any
    ) -> pb.AcquireLimitsResponse:
        """Take slices of a key's limits."""
        wanted = Wanted(
            requests=request.requests,
            tokens=request.tokens,
            concurrent_requests=request.concurrent_requests,
        )
        place = (request.edge_id, request.epoch, request.key_id)
        slices, dealt = await self._limits.acquire(*place, wanted, _wish(request))
        return pb.AcquireLimitsResponse(
            **{name: getattr(slices, name) for name in slices.__slots__},
            spend_nanos=0 if dealt is None else dealt.granted,
            spend_slice=None if dealt is None else self._spend(dealt.slice),
            spend_may_come_back=dealt is not None and dealt.may_come_back,
        )

    async def RenewSpend(
        self, request: pb.RenewSpendRequest, context: Any
    ) -> pb.RenewSpendResponse:
        """Keep slices of spend alive and take free parts back."""
        renewals = [(item.slice_id, item.returned_total_nanos) for item in request.slices]
        slices = await self._limits.renew(request.edge_id, request.epoch, renewals)
        return pb.RenewSpendResponse(slices=map(self._spend, slices))

    async def ClaimIdempotencyKey(
        self, request: pb.ClaimIdempotencyKeyRequest, context: Any
    ) -> pb.ClaimIdempotencyKeyResponse:
        """Claim a client's idempotency key for a request."""
        async with self._pool.transaction("system") as tx:
            claim = await idempotency.claim(
                tx,
                _client_key(request),
                edge_id=request.edge_id,
                epoch=request.epoch,
                now=now(self._clock),
            )
            await tx.commit()
        return pb.ClaimIdempotencyKeyResponse(
            result=pb.ClaimIdempotencyKeyResponse.Result.ValueType(claim.result),
            request_id=claim.request_id,
            charge_nanos=claim.charge_nanos,
        )

    async def ReleaseIdempotencyKey(
        self, request: pb.ReleaseIdempotencyKeyRequest, context: Any
    ) -> pb.ReleaseIdempotencyKeyResponse:
        """Give up the claim of a request that called no upstream."""
        async with self._pool.transaction("system") as tx:
            await idempotency.release(tx, _client_key(request), now(self._clock))
            await tx.commit()
        return pb.ReleaseIdempotencyKeyResponse()

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)

    def _spend(self, found: SpendSlice) -> spend_pb2.SpendSlice:
        return spend_pb2.SpendSlice(
            slice_id=found.slice_id,
            day=found.day,
            granted_total_nanos=found.granted_total,
            returned_total_nanos=found.returned_total,
            lifetime_ms=self._desk.terms.disconnected_seconds * 1_000,
        )

    def _lease(self, state: LeaseState) -> lease_pb2.CreditLease:
        return lease_pb2.CreditLease(
            lease_id=state.lease_id,
            workspace_id=state.workspace_id,
            granted_total_nanos=state.granted_total,
            returned_total_nanos=state.returned_total,
            lifetime_ms=self._desk.terms.disconnected_seconds * 1_000,
            available_nanos=state.available,
            held_elsewhere_nanos=state.held_elsewhere,
            recalled=state.recalled,
        )


def _client_key(
    request: pb.ClaimIdempotencyKeyRequest | pb.ReleaseIdempotencyKeyRequest,
) -> ClientKey:
    return ClientKey(request.workspace_id, request.key_hash, request.request_id)


def _wish(request: pb.AcquireLimitsRequest) -> SpendWish | None:
    if not request.spend_nanos:
        return None
    return SpendWish(
        key_id=request.key_id,
        edge_id=request.edge_id,
        epoch=request.epoch,
        day=request.spend_day,
        wanted=max(request.spend_nanos, request.spend_needed_nanos),
        needed=max(1, request.spend_needed_nanos),
    )


def admission_service(
    pool: Pool, clock: Clock, ids: IdSource, desk: CreditDesk, watch: Watch
) -> Service:
    """Return the service for the server."""
    add = admission_service_pb2_grpc.add_AdmissionServiceServicer_to_server
    return Service(NAME, add, AdmissionServicer(pool, clock, ids, desk, watch), ALLOWED)

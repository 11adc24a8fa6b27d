"""Core as the edge's metering sees it: takes each record once, and misbehaves on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from oneapi.admission.v1 import admission_service_pb2_grpc as admission_grpc
from oneapi.admission.v1.admission_service_pb2 import CloseEpochRequest, CloseEpochResponse
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1 import metering_service_pb2_grpc as metering_grpc
from oneapi.metering.v1.metering_service_pb2 import (
    RecordUsageRequest,
    RecordUsageResponse,
    RejectedRecord,
)
from oneapi.metering.v1.usage_record_pb2 import UsageRecord


@dataclass
class Faults:
    """What core does wrong; numbers count down to zero."""

    acks_dropped: int = 0
    streams_cut: int = 0
    rejected: set[bytes] = field(default_factory=set)
    pause_seconds: float = 0.0
    """Before each acknowledgement."""
    holding: asyncio.Event | None = None
    """While set to an event, batches are taken but not acknowledged until it is set."""


@dataclass
class CoreDouble:
    """Remembers what it was told, by edge and epoch."""

    faults: Faults = field(default_factory=Faults)
    records: dict[bytes, UsageRecord] = field(default_factory=dict)
    conflicts: int = 0
    batches: list[RecordUsageRequest] = field(default_factory=list)
    closed: list[tuple[int, int, int]] = field(default_factory=list)
    acked: dict[tuple[int, int], int] = field(default_factory=dict)
    gaps: list[RecordUsageRequest] = field(default_factory=list)
    unacknowledged: int = 0

    async def RecordUsage(
        self, requests: AsyncIterator[RecordUsageRequest], context: Any
    ) -> AsyncIterator[RecordUsageResponse]:
        """Take batches and acknowledge them in order."""
        async for request in requests:
            self.batches.append(request)
            self.unacknowledged += 1
            rejected = self._take(request)
            if self.faults.streams_cut:
                self.faults.streams_cut -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            await asyncio.sleep(self.faults.pause_seconds)
            if self.faults.holding is not None:
                await self.faults.holding.wait()
            self.unacknowledged = 0
            if self.faults.acks_dropped:
                self.faults.acks_dropped -= 1
                continue
            key = (request.edge_id, request.epoch)
            yield RecordUsageResponse(through_sequence=self.acked[key], rejected=rejected)

    async def CloseEpoch(self, request: CloseEpochRequest, context: Any) -> CloseEpochResponse:
        """Close an epoch and say what is missing."""
        self.closed.append((request.edge_id, request.epoch, request.last_sequence))
        acked = self.acked.get((request.edge_id, request.epoch), 0)
        return CloseEpochResponse(missing_frames=request.last_sequence - acked)

    def _take(self, request: RecordUsageRequest) -> list[RejectedRecord]:
        key = (request.edge_id, request.epoch)
        acked = self.acked.get(key, 0)
        covered = len(request.records) + request.other_frames + request.lost_frames
        whole = request.through_sequence - request.first_sequence + 1 == covered
        if request.first_sequence > acked + 1 or not whole:
            self.gaps.append(request)
        self.acked[key] = max(acked, request.through_sequence)
        rejected = []
        for item in request.records:
            record = item.record
            if record.request_id in self.faults.rejected:
                reason = ErrorReason.ERROR_REASON_RECORD_INVALID
                rejected.append(
                    RejectedRecord(
                        sequence=item.sequence, request_id=record.request_id, reason=reason
                    )
                )
            elif self.records.setdefault(record.request_id, record) != record:
                self.conflicts += 1
        return rejected


class RunningCore:
    """A core double behind a port, with the stubs that the edge uses."""

    def __init__(self, double: CoreDouble, server: grpc.aio.Server, port: int) -> None:
        self.double = double
        self.port = port
        self._server = server

    @classmethod
    async def start(cls, double: CoreDouble, port: int = 0) -> RunningCore:
        """Listen on loopback."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        metering_grpc.add_MeteringServiceServicer_to_server(double, server)  # type: ignore[arg-type]
        handlers = {
            "CloseEpoch": grpc.unary_unary_rpc_method_handler(
                double.CloseEpoch,
                request_deserializer=CloseEpochRequest.FromString,
                response_serializer=CloseEpochResponse.SerializeToString,
            )
        }
        service = "oneapi.admission.v1.AdmissionService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return cls(double, server, bound)

    async def stop(self) -> None:
        """Go away at once."""
        await self._server.stop(None)


def metering_stub(channel: grpc.aio.Channel) -> metering_grpc.MeteringServiceAsyncStub:
    """Return the stub for usage records."""
    return metering_grpc.MeteringServiceStub(channel)


def admission_stub(channel: grpc.aio.Channel) -> admission_grpc.AdmissionServiceAsyncStub:
    """Return the stub for epochs."""
    return admission_grpc.AdmissionServiceStub(channel)

"""IncidentService: what is known of one request, for operators and support."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from core.audit import Act
from core.db.database import Pool
from core.metering.incident import Incident, gather
from core.metering.usage_rpc import usage_message
from core.timestamps import to_timestamp
from kit.clock import Clock
from kit.ids import IdSource, format_id, parse_id
from kit.rpc.server import Service
from oneapi.metering.v1 import incident_service_pb2 as pb
from oneapi.metering.v1 import incident_service_pb2_grpc

NAME: Final = "oneapi.metering.v1.IncidentService"
ALLOWED: Final = {"GetIncident": frozenset({"operator", "support"})}


class IncidentServicer(incident_service_pb2_grpc.IncidentServiceServicer):
    """Tells what is known of one request."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource) -> None:
        """Read through the pool, and write down who read."""
        self._pool = pool
        self._clock = clock
        self._ids = ids

    async def GetIncident(
        self, request: pb.GetIncidentRequest, context: Any
    ) -> pb.GetIncidentResponse:
        """Gather it; a look at one customer's request is in the audit log."""
        act = Act.of_call(self._clock, self._ids)
        async with self._pool.transaction("system", snapshot=True) as tx:
            found = await gather(tx, parse_id("req", request.request_id), act.now)
            await act.audit(tx, "metering.GetIncident", request.request_id, _workspace_of(found))
            await tx.commit()
        return pb.GetIncidentResponse(incident=_message(found))


def incident_service(pool: Pool, clock: Clock, ids: IdSource) -> Service:
    """Return the service for the server."""
    add = incident_service_pb2_grpc.add_IncidentServiceServicer_to_server
    return Service(NAME, add, IncidentServicer(pool, clock, ids), ALLOWED)


def _workspace_of(found: Incident) -> bytes | None:
    row = found.usage or found.claim
    return None if row is None else bytes(row.workspace_id.bytes)


def _message(found: Incident) -> pb.Incident:
    month = found.archived_before
    message = pb.Incident(
        request_id=format_id("req", found.request_id),
        standing=found.standing,
        minted_at=to_timestamp(found.minted_at),
        alarms=map(_alarm, found.alarms),
        attempt_upstreams=found.attempt_upstreams,
        archived_before=to_timestamp(datetime(month.year, month.month, month.day, tzinfo=UTC)),
    )
    if found.usage is not None:
        message.usage.CopyFrom(usage_message(found.usage))
        message.sequence = found.usage.sequence
        message.recorded_at.CopyFrom(to_timestamp(found.usage.recorded_at))
    if found.claim is not None:
        message.claim.CopyFrom(_claim(found.claim))
    if found.process is not None:
        message.process.CopyFrom(_process(found.process))
    return message


def _alarm(row: Any) -> pb.Alarm:
    return pb.Alarm(
        kind=row.kind,
        occurred_at=to_timestamp(row.occurred_at),
        edge_id=row.edge_id,
        epoch=row.epoch,
        expected=row.expected,
        found=row.found,
        of_spool=row.of_spool,
    )


def _claim(row: Any) -> pb.Claim:
    return pb.Claim(
        workspace_id=format_id("ws", row.workspace_id.bytes),
        claimed_at=to_timestamp(row.created_at),
        expires_at=to_timestamp(row.expires_at),
        released=row.released,
    )


def _process(row: Any) -> pb.EdgeProcess:
    return pb.EdgeProcess(
        edge_id=row.edge_id,
        epoch=row.epoch,
        opened_at=to_timestamp(row.opened_at),
        closed_at=to_timestamp(row.closed_at),
        acked_sequence=row.acked_sequence,
        missing_frames=row.missing_frames,
    )

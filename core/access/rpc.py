"""AccessService: parse, call, render."""

from __future__ import annotations

from typing import Any, Final

from core.access import service
from core.audit import Act
from core.db.database import Pool
from core.platform_key import PlatformKey
from kit.clock import Clock, now
from kit.ids import IdSource, parse_id
from kit.rpc.server import Service
from oneapi.security.v1 import access_service_pb2 as pb
from oneapi.security.v1 import access_service_pb2_grpc

NAME: Final = "oneapi.security.v1.AccessService"
ALLOWED: Final = {
    "IssueUserContext": frozenset({"edge"}),
    "RecordAccess": frozenset({"archiver"}),
}


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Signs user contexts for edges, and keeps the record that services write of their use."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, key: PlatformKey) -> None:
        """Work on the pool's database and sign with the key."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._key = key

    async def IssueUserContext(
        self, request: pb.IssueUserContextRequest, context: Any
    ) -> pb.IssueUserContextResponse:
        """Issue the user context of whoever has a key's secret."""
        async with self._pool.transaction("system") as tx:
            text, issued = await service.issue(
                tx,
                Act.of_call(self._clock, self._ids),
                self._key,
                secret_hashes=request.secret_hashes,
                audience=request.audience,
            )
        answer = pb.IssueUserContextResponse(user_context=text)
        answer.expires_at.FromMicroseconds(issued.expires_at_micros)
        return answer

    async def RecordAccess(
        self, request: pb.RecordAccessRequest, context: Any
    ) -> pb.RecordAccessResponse:
        """Write a hand-out or a denial to the audit log."""
        async with self._pool.transaction("system") as tx:
            await service.record(
                tx,
                Act(request.caller, now(self._clock), self._ids),
                self._key,
                user_context=request.user_context,
                action=request.action,
                object_id=request.object_id,
                workspace_id=parse_id("ws", request.workspace_id),
                denied=request.outcome == pb.RecordAccessRequest.OUTCOME_DENIED,
            )
            await tx.commit()
        return pb.RecordAccessResponse()


def access_service(pool: Pool, clock: Clock, ids: IdSource, key: PlatformKey) -> Service:
    """Return the service for the server."""
    add = access_service_pb2_grpc.add_AccessServiceServicer_to_server
    return Service(NAME, add, AccessServicer(pool, clock, ids, key), ALLOWED)

"""MeteringService: edges report usage here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from core.metering.intake import Intake
from kit.rpc.server import Service
from oneapi.metering.v1 import metering_service_pb2 as pb
from oneapi.metering.v1 import metering_service_pb2_grpc

NAME = "oneapi.metering.v1.MeteringService"
ALLOWED = {"RecordUsage": frozenset({"edge"})}


class MeteringServicer(metering_service_pb2_grpc.MeteringServiceServicer):
    """Takes usage records from edges, exactly once each."""

    def __init__(self, intake: Intake) -> None:
        """Take through the intake, which the composition starts and stops."""
        self._intake = intake

    async def RecordUsage(
        self, request_iterator: AsyncIterator[pb.RecordUsageRequest], context: Any
    ) -> AsyncIterator[pb.RecordUsageResponse]:
        """Take batches and acknowledge them when they are durable."""
        async for response in self._intake.take(request_iterator):
            yield response


def metering_service(intake: Intake) -> Service:
    """Return the service for the server."""
    add = metering_service_pb2_grpc.add_MeteringServiceServicer_to_server
    return Service(NAME, add, MeteringServicer(intake), ALLOWED)

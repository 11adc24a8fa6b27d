"""Straight to core, for running requests of an edge whose spool disk failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import grpc

from edge.metering.errors import OutcomeNotDurable
from edge.metering.frames import Place, encode
from edge.metering.messages import add_record
from edge.metering.records import Outcome
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest, RecordUsageResponse

if TYPE_CHECKING:
    from oneapi.metering.v1.metering_service_pb2_grpc import MeteringServiceAsyncStub

REPORT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.1
MAX_REPORTS_AT_ONCE: Final = 64


class Reporter(Protocol):
    """Takes the outcome of a request when the spool cannot."""

    async def report(self, outcome: Outcome) -> None:
        """Return when the outcome is durable elsewhere.

        Raises:
            OutcomeNotDurable: it is not.
        """


class DirectReporter:
    """Reports outcomes to core one by one; core's acknowledgement takes the place of fdatasync.

    The batch covers no sequence (its range is 0 to 0): it moves nothing of what the shipper or an
    adopter accounts for. If the frame reaches core later as well, it is a duplicate
    of the same content.
    """

    def __init__(
        self,
        stub: MeteringServiceAsyncStub,
        edge_id: int,
        epoch: int,
        *,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        """Report for one edge and epoch, within the given seconds each."""
        self._stub = stub
        self._edge_id = edge_id
        self._epoch = epoch
        self._report_seconds = report_seconds
        self._slots = asyncio.Semaphore(MAX_REPORTS_AT_ONCE)

    async def report(self, outcome: Outcome) -> None:
        """Return when core has committed the outcome.

        Raises:
            OutcomeNotDurable: core refused it or did not answer in time.
        """
        try:
            async with asyncio.timeout(self._report_seconds), self._slots:
                await self._report(outcome)
        except TimeoutError:
            raise OutcomeNotDurable from None

    async def _report(self, outcome: Outcome) -> None:
        while True:
            if await self._is_taken(outcome):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _is_taken(self, outcome: Outcome) -> bool:
        """Return whether core answered; a refusal raises."""
        request = RecordUsageRequest(edge_id=self._edge_id, epoch=self._epoch)
        add_record(request, 0, encode(Place(self._edge_id, self._epoch, 0), outcome))
        call = self._stub.RecordUsage()
        try:
            await call.write(request)
            await call.done_writing()
            answer = await call.read()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        finally:
            call.cancel()
        if not isinstance(answer, RecordUsageResponse):
            return False
        if any(refused.request_id == outcome.request_id for refused in answer.rejected):
            raise OutcomeNotDurable
        return True

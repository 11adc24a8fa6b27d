"""A batch on its way: its records go to several writers, its acknowledgement waits for all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from core.metering.settle import Reported
from kit.reasons import InvalidArgument
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1 import metering_service_pb2 as pb

RECORDS_MAX: Final = 1_000
"""Of one batch; the contract's bound."""
_EDGE_MAX: Final = 2**31 - 1
_SEQUENCE_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SpoolRange:
    """Which frames of a spool a batch accounts for. Without a range (all 0) it only reports."""

    first: int
    through: int
    accounted: int
    lost: int

    @property
    def is_empty(self) -> bool:
        """Say whether the batch comes from no spool: an edge whose spool failed reports straight.

        Such a record's frame is missing in the spool, which is alarmed there.
        """
        return self.through == 0

    @property
    def unaccounted(self) -> int:
        """Return how many frames of the range nobody speaks of."""
        return max(0, self.through - max(self.first, 1) + 1 - self.accounted)


@dataclass(slots=True)
class Batch:
    """Records of one edge and epoch, until every writer is done with them."""

    edge_id: int
    epoch: int
    spool_range: SpoolRange
    refused: list[pb.RejectedRecord] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    _open: int = 0

    @classmethod
    def of(cls, request: pb.RecordUsageRequest) -> Batch:
        """Return the batch of a message.

        Raises:
            InvalidArgument: the message breaks its contract; names the field.
        """
        field_name = _broken_field(request)
        if field_name:
            raise InvalidArgument(fields=field_name)
        accounted = request.other_frames + len(request.records) + request.lost_frames
        spool_range = SpoolRange(
            request.first_sequence, request.through_sequence, accounted, request.lost_frames
        )
        return cls(request.edge_id, request.epoch, spool_range)

    def expect(self, count: int) -> None:
        """Note how many records writers will speak of; none means that the batch is done."""
        self._open = count
        if count == 0:
            self.done.set()

    def refuse(self, reported: Reported, reason: ErrorReason.ValueType) -> None:
        """Note a record that will never be taken."""
        self.refused.append(
            pb.RejectedRecord(
                sequence=reported.sequence,
                request_id=reported.record.request_id[:16],
                reason=reason,
            )
        )

    def settled(self, count: int) -> None:
        """Note that so many records are durable or refused."""
        self._open -= count
        if self._open <= 0:
            self.done.set()

    def fail(self, failure: Exception) -> None:
        """Note that a record could not be written now: the edge must send the batch again."""
        self.failure = failure
        self.done.set()


def _broken_field(request: pb.RecordUsageRequest) -> str:
    """Return which field breaks the contract. By hand: the general validator takes milliseconds."""
    checks = (
        ("edge_id", request.edge_id <= _EDGE_MAX),
        ("epoch", 0 < request.epoch <= _SEQUENCE_MAX),
        ("first_sequence", request.first_sequence <= request.through_sequence),
        ("through_sequence", request.through_sequence <= _SEQUENCE_MAX),
        ("records", len(request.records) <= RECORDS_MAX),
        ("records.sequence", all(each.sequence <= _SEQUENCE_MAX for each in request.records)),
    )
    return next((name for name, holds in checks if not holds), "")

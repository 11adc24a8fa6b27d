"""An edge process in a few lines: leases, holds inside them, and a spool of what it served.

Its own books only: what it believes of a lease is what core's last answer said. Answers may be
lost; then it asks again with the same number, as the real one does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.ledger.model import LeaseState
from oneapi.metering.v1 import metering_service_pb2 as pb
from oneapi.metering.v1.usage_record_pb2 import UsageRecord
from tests.support.metering_world import batch


@dataclass(slots=True)
class EdgeLease:
    """What an edge knows of its credit for one workspace, in nano-dollars."""

    lease_id: bytes = b""
    granted: int = 0
    returned: int = 0
    used: int = 0
    acquire_number: int = 0
    unanswered: bool = False
    silent_seconds: int = 0
    """Since core answered last; of a lease that was silent for too long core expects nothing."""

    @property
    def free(self) -> int:
        """Return what may still be held."""
        return self.granted - self.returned - self.used

    def learn(self, state: LeaseState) -> None:
        """Take an answer of core; another lease starts from nothing."""
        if state.lease_id != self.lease_id:
            self.lease_id, self.returned, self.used = state.lease_id, 0, 0
            self.granted = 0
        self.granted = max(self.granted, state.granted_total)
        self.unanswered = False
        self.silent_seconds = 0


@dataclass(slots=True)
class Edge:
    """One edge process: a slot and the epoch of this start."""

    edge_id: int
    epoch: int
    leases: dict[bytes, EdgeLease] = field(default_factory=dict)
    spool: list[tuple[int, UsageRecord]] = field(default_factory=list)
    sequence: int = 0

    def lease_of(self, workspace_id: bytes) -> EdgeLease:
        """Return what it knows of its lease for a workspace."""
        return self.leases.setdefault(workspace_id, EdgeLease())

    def write(self, record: UsageRecord) -> None:
        """Put a served request into the spool."""
        self.sequence += 1
        self.spool.append((self.sequence, record))

    def batches(self, sizes: list[int]) -> list[pb.RecordUsageRequest]:
        """Cut what is in the spool into batches of these sizes, the rest as one more."""
        found, start = [], 0
        for size in [*sizes, len(self.spool)]:
            part = self.spool[start : start + size]
            if part:
                found.append(self._batch(part))
            start += size
        return found

    def forget(self, through: int) -> None:
        """Drop what core acknowledged."""
        self.spool = [each for each in self.spool if each[0] > through]

    def _batch(self, part: list[tuple[int, UsageRecord]]) -> pb.RecordUsageRequest:
        records = [record for _, record in part]
        return batch(
            records,
            first=part[0][0],
            through=part[-1][0],
            edge_id=self.edge_id,
            epoch=self.epoch,
        )

"""An edge of one workspace: it leases credit, reports what it used, and gives the rest back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from oneapi.admission.v1 import (
    admission_service_pb2,
    admission_service_pb2_grpc,
    lease_pb2,
)
from oneapi.metering.v1 import metering_service_pb2_grpc, usage_record_pb2
from tests.chaos.money.world import World
from tests.support.metering_world import batch

ADMISSION = admission_service_pb2_grpc.AdmissionServiceStub
METERING = metering_service_pb2_grpc.MeteringServiceStub


class Edge:
    """One process of an edge, which outlives every core."""

    def __init__(self, world: World, edge_id: int, workspace_id: bytes) -> None:
        self._link = world.link
        self._edge_id = edge_id
        self._workspace_id = workspace_id
        self._acquired = 0
        self._lease: lease_pb2.CreditLease | None = None
        opened = admission_service_pb2.OpenEpochRequest(
            edge_id=edge_id, boot_nonce=secrets.token_bytes(16)
        )
        self._epoch: int = self._link.call(ADMISSION, "OpenEpoch", opened, "edge").epoch

    def acquire(self, nanos: int) -> None:
        """Lease credit. Raises what core answers, such as that there is none."""
        self._acquired += 1
        wanted = admission_service_pb2.AcquireCreditRequest(
            edge_id=self._edge_id,
            epoch=self._epoch,
            workspace_id=self._workspace_id,
            acquire_number=self._acquired,
            needed_nanos=nanos,
        )
        self._lease = self._link.call(ADMISSION, "AcquireCredit", wanted, "edge").lease

    def renew(self, share: float) -> None:
        """Keep the lease alive and give back a share of it; core takes no more than is left."""
        if self._lease is None:
            return
        back = int((self._lease.granted_total_nanos - self._lease.returned_total_nanos) * share)
        renewal = admission_service_pb2.LeaseRenewal(
            lease_id=self._lease.lease_id,
            returned_total_nanos=self._lease.returned_total_nanos + back,
        )
        wanted = admission_service_pb2.RenewLeasesRequest(
            edge_id=self._edge_id, epoch=self._epoch, leases=[renewal]
        )
        leases = self._link.call(ADMISSION, "RenewLeases", wanted, "edge").leases
        self._lease = leases[0] if leases else None

    def report(self, records: Sequence[usage_record_pb2.UsageRecord]) -> None:
        """Report usage until core has it."""
        sent = batch(records, edge_id=self._edge_id, epoch=self._epoch)
        answer = self._link.stream(METERING, "RecordUsage", sent, "edge")
        assert not answer.rejected

    def close(self) -> None:
        """End the process: all that it has goes back."""
        closed = admission_service_pb2.CloseEpochRequest(edge_id=self._edge_id, epoch=self._epoch)
        self._link.call(ADMISSION, "CloseEpoch", closed, "edge")

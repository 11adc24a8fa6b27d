"""A lease as an edge sees it, and the calls to core that keep it."""

from __future__ import annotations

from typing import Protocol

from oneapi.admission.v1 import lease_pb2


class LeaseCalls(Protocol):
    """The calls to core that credit needs."""

    async def acquire(
        self,
        workspace_id: bytes,
        number: int,
        needed: int,
        rate: int,
        returning: tuple[bytes, int] | None,
    ) -> lease_pb2.CreditLease:
        """Take credit: InsufficientCredits, CreditInUse, WorkspaceNotActive, Unavailable.

        `returning` is a lease with all that was ever given back on it: core takes it back first.
        """

    async def renew(self, leases: dict[bytes, int]) -> list[lease_pb2.CreditLease]:
        """Keep leases alive, with what each has returned in all; Unavailable."""


class Lease:
    """One lease as this edge sees it, in nano-US-dollars."""

    __slots__ = ("deadline", "granted", "held", "lease_id", "returned", "used")

    def __init__(self, lease_id: bytes) -> None:
        """Start with nothing."""
        self.lease_id = lease_id
        self.granted = 0
        self.returned = 0
        self.used = 0
        self.held = 0
        self.deadline = 0.0

    @property
    def free(self) -> int:
        """Return what new holds may take; below zero after a charge beyond its hold."""
        return self.granted - self.returned - self.used - self.held

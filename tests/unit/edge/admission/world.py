"""An edge's admission in front of a core made of dicts, with a small catalogue."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, cast

from edge.admission.admit import Admission, Admitted, Choice
from edge.admission.credit import Credit
from edge.core_link import CoreCalls, CoreLink
from kit.hold import RequestShape
from kit.ids import new_request_id
from kit.log import EventLog
from kit.secret import new_secret, secret_hash
from oneapi.admission.v1 import admission_service_pb2 as pb2
from oneapi.admission.v1 import grant_pb2, lease_pb2, snapshot_pb2, spend_pb2
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.doubles import (
    CoreGrants,
    CoreLedger,
    CoreLimits,
    ManualClock,
    grant,
    grant_message,
)

PEPPER = b"p" * 32
DOLLAR = 1_000_000_000
INPUT_RATE = 1_000_000_000
OUTPUT_RATE = 4_000_000_000
WAIT_SECONDS = 0.3
"""Longer than the pause between two questions to core."""
SHAPE = RequestShape(text_bytes=488, overhead_tokens=512)
"""A thousand input tokens: at the rates above the input holds 1,000,000 nano-dollars."""


@dataclass(slots=True)
class Calls:
    """The calls of admission, answered by the parts."""

    ledger: CoreLedger
    limits: CoreLimits
    grants: CoreGrants

    async def fetch_grant(self, secret_hashes: list[bytes]) -> grant_pb2.Grant:
        """Find a grant."""
        return await self.grants.fetch(secret_hashes)

    async def acquire(
        self,
        workspace_id: bytes,
        number: int,
        needed: int,
        rate: int,
        returning: tuple[bytes, int] | None,
    ) -> lease_pb2.CreditLease:
        """Take credit."""
        return await self.ledger.acquire(workspace_id, number, needed, rate, returning)

    async def renew(self, leases: dict[bytes, int]) -> list[lease_pb2.CreditLease]:
        """Keep leases alive."""
        return await self.ledger.renew(leases)

    async def acquire_limits(self, key_id: bytes, **wanted: int) -> pb2.AcquireLimitsResponse:
        """Take slices."""
        return await self.limits.acquire_limits(key_id, **wanted)

    async def renew_spend(self, slices: dict[bytes, int]) -> list[spend_pb2.SpendSlice]:
        """Keep slices of spend alive."""
        return await self.limits.renew_spend(slices)


@dataclass
class AdmissionWorld:
    """What a test moves: the wallet, the grant, the catalogue, the clock."""

    wallet: int = DOLLAR
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.secret = new_secret()
        message = grant_message(1, secrets=[secret_hash(self.secret, PEPPER)])
        self.grants = CoreGrants({secret_hash(self.secret, PEPPER): message})
        self.grants.door.set()
        self.ledger = CoreLedger(self.wallet)
        self.limits = CoreLimits(requests=100, tokens=10**6, permits=10, spend=10**12)
        calls = cast("CoreCalls", Calls(self.ledger, self.limits, self.grants))
        self.link = CoreLink(
            calls,
            self.clock,
            EventLog("test", stream=io.StringIO(), clock=self.clock),
            disconnected_seconds=600,
            on_fenced=lambda: None,
        )
        self.link.credit = Credit(calls, self.clock, wait_seconds=WAIT_SECONDS)
        self.admission = Admission(self.link, [PEPPER], self.clock)
        self.mark(catalog=snapshot())

    def mark(self, *, late_micros: int = 0, **fields: Any) -> None:
        """Let the feed bring a message whose poll was so long ago."""
        now = self.clock.now_ns() // 1_000
        self.link._take(
            pb2.WatchChangesResponse(
                server_time_micros=now, polled_at_micros=now - late_micros, **fields
            )
        )

    def choose(self, name: str | None = "small", lane: str | None = None, **key: Any) -> Choice:
        """Choose as the endpoint does."""
        return self.admission.choose(grant(**key), name, lane, None)

    async def admit(
        self,
        *,
        limit: int | None = None,
        max_cost: str | None = None,
        choice: Choice | None = None,
        **key: Any,
    ) -> Admitted:
        """Admit a request of a thousand input tokens."""
        return await self.admission.admit(
            grant(**key),
            choice or self.choose(),
            SHAPE,
            request_id=new_request_id(),
            client_limit=limit,
            max_cost=max_cost,
        )


def snapshot(version: int = 1) -> snapshot_pb2.CatalogSnapshot:
    """Return a catalogue: `small` in two lanes, `unpriced`, `unrouted`, `off`, `dark:default`."""
    found = snapshot_pb2.CatalogSnapshot(version=version)
    for number, name in enumerate(("small", "unpriced", "unrouted", "off", "dark"), start=1):
        found.models.add(
            number=number,
            public_id=name,
            max_output_tokens=8_192,
            context_tokens=128_000,
            input_overhead_tokens=512,
            enabled=name != "off",
            aliases=[f"{name}-latest"],
        )
        if name != "unpriced":
            add_price(found, number, Lane.LANE_DEFAULT, 0)
        if name != "unrouted":
            add_route(found, number, Lane.LANE_DEFAULT, (1, 2) if name != "dark" else (3,))
    add_price(found, 1, Lane.LANE_ECONOMY, 0, divisor=2)
    add_route(found, 1, Lane.LANE_ECONOMY, (2,))
    for number, name in ((1, "first"), (2, "second"), (3, "disabled")):
        item = found.upstreams.add(credential=b"upstream-secret")
        item.upstream.CopyFrom(
            catalog_pb2.Upstream(number=number, name=name, enabled=name != "disabled")
        )
    return found


def add_price(
    found: snapshot_pb2.CatalogSnapshot,
    model: int,
    lane: Lane.ValueType,
    from_micros: int,
    *,
    divisor: int = 1,
) -> None:
    """Add a price version; its number is its place."""
    price = found.prices.add(number=len(found.prices) + 1, model_number=model, lane=lane)
    price.effective_from.FromMicroseconds(from_micros)
    price.tiers.add(input=INPUT_RATE // divisor, output=OUTPUT_RATE // divisor)


def add_route(
    found: snapshot_pb2.CatalogSnapshot,
    model: int,
    lane: Lane.ValueType,
    upstreams: tuple[int, ...],
) -> None:
    """Add a route whose candidates come in this order of priority."""
    route = found.routes.add(model_number=model, lane=lane, max_attempts=3)
    for priority, number in reversed(list(enumerate(upstreams))):
        route.candidates.add(
            upstream_number=number,
            upstream_model="their-name",
            weight=1,
            priority=priority,
            first_byte_timeout_ms=1_500,
            idle_timeout_ms=2_500,
        )

"""Usage for tests: a priced model, records as an edge reports them, and an intake to take them."""

from __future__ import annotations

import io
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.metering.intake import Intake
from core.metering.partitions import make_partitions
from kit.charge import Price, PriceTier, charge_nanos, quantities
from kit.clock import to_micros
from kit.ids import IdSource, uuid7_bytes
from kit.log import EventLog
from oneapi.common.v1 import quantities_pb2
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1 import metering_service_pb2 as pb
from oneapi.metering.v1 import usage_record_pb2
from tests.support.money_world import MoneyWorld

RATES = (2_500_000_000, 1_250_000_000, 0, 0, 10_000_000_000, 10_000_000_000, 0, 0, 0, 0, 0, 0)
"""2.50 dollars for a million input tokens, 1.25 cached, 10.00 output and reasoning."""
PRICE = Price(1, 1, 1, 0, (PriceTier(0, RATES),))
KEY = bytes.fromhex("0199000000007000800000000000000a")


class WorldClock:
    """The time of a world; intervals are real."""

    def __init__(self, world: MoneyWorld) -> None:
        """Follow the world's time."""
        self._world = world

    def now_ns(self) -> int:
        """Return the world's nanoseconds since 1970."""
        return to_micros(self._world.now) * 1_000

    def monotonic(self) -> float:
        """Return a time that stands still: nothing here is decided by it."""
        return 0.0


@dataclass(slots=True)
class MeteringWorld:
    """An intake on the world's database, and records for it."""

    money: MoneyWorld
    intake: Intake
    log: io.StringIO = field(default_factory=io.StringIO)

    @classmethod
    async def start(cls, money: MoneyWorld) -> MeteringWorld:
        """Make the price, the partitions and a running intake."""
        log = io.StringIO()
        clock = WorldClock(money)
        intake = Intake(money.database.metering, clock, IdSource(), EventLog("test", stream=log))
        world = cls(money, intake, log)
        await world.publish_price()
        await make_partitions(money.database.jobs, clock)
        intake.start()
        return world

    async def stop(self) -> None:
        """Stop the intake."""
        await self.intake.stop()

    async def publish_price(self) -> None:
        """Write the model, its upstream and its price version, all number 1."""
        async with self.money.database.jobs.transaction("system") as tx:
            await tx.run(
                "INSERT INTO model (public_id, display_name, maker, context_tokens,"
                " max_output_tokens, input_overhead_tokens, input_overhead_with_tools_tokens,"
                " image_max_tokens, audio_max_tokens, file_max_tokens,"
                " reasoning_beyond_limit_tokens, capabilities, enabled, created_at)"
                " VALUES ('test/model', 'Test', 'test', 128000, 4096, 512, 512, 0, 0, 0, 0,"
                " CAST('{}' AS text[]), true, :now)",
                now=self.money.now,
            )
            await tx.run(
                "INSERT INTO upstream (name, base_url, dialect, stream_end, disconnect_policy,"
                " bills_refused, enabled, created_at)"
                " VALUES ('demo', 'http://127.0.0.1:1', 1, 1, 1, false, true, :now)",
                now=self.money.now,
            )
            await tx.run(
                "INSERT INTO price_version (model_number, lane, effective_from, created_at)"
                " VALUES (1, 1, :now, :now)",
                now=self.money.now,
            )
            await tx.run(
                "INSERT INTO price_tier VALUES (1, 0, CAST(:rates AS bigint[]))", rates=list(RATES)
            )
            await tx.commit()

    def request_id(self, moment: datetime | None = None) -> bytes:
        """Mint a request id of a moment."""
        unix_ms = to_micros(moment or self.money.now) // 1_000
        return uuid7_bytes(unix_ms, secrets.randbelow(4096), secrets.token_bytes(8))

    def record(
        self,
        workspace_id: bytes,
        *,
        input_tokens: int = 1_000,
        output_tokens: int = 100,
        moment: datetime | None = None,
        **fields: object,
    ) -> usage_record_pb2.UsageRecord:
        """Return a record of a successful request; its charge is the right one unless given."""
        used = quantities(input=input_tokens, output=output_tokens)
        values: dict[str, object] = {
            "request_id": self.request_id(moment),
            "workspace_id": workspace_id,
            "key_id": KEY,
            "started_at_micros": to_micros(moment or self.money.now),
            "model_number": 1,
            "requested_lane": Lane.LANE_UNSPECIFIED,
            "served_lane": Lane.LANE_DEFAULT,
            "upstream_number": 1,
            "endpoint": Endpoint.ENDPOINT_CHAT_COMPLETIONS,
            "streamed": True,
            "quantities": quantities_pb2.Quantities(
                input_tokens=input_tokens, output_tokens=output_tokens
            ),
            "outcome": usage_record_pb2.OUTCOME_SUCCEEDED,
            "http_status": 200,
            "first_token_ms": 120,
            "total_ms": 900,
            "price_version": 1,
            "charge_nanos": charge_nanos(used, PRICE),
            "usage_source": usage_record_pb2.USAGE_SOURCE_PROVIDER,
            "hold_nanos": 50_000_000,
            "finish_reason": usage_record_pb2.FINISH_REASON_STOP,
            "attempts": [usage_record_pb2.Attempt(upstream_number=1, http_status=200)],
        }
        return usage_record_pb2.UsageRecord(**(values | fields))  # type: ignore[arg-type]

    async def spend(self, workspace_id: bytes, nanos: int, *, edge_id: int = 1) -> bytes:
        """Report one request that costs so much, a multiple of 10,000; return its id."""
        record = self.record(workspace_id, input_tokens=0, output_tokens=nanos // 10_000)
        answer = await self.report([record], edge_id=edge_id)
        assert not answer.rejected
        return record.request_id

    async def send(self, *batches: pb.RecordUsageRequest) -> list[pb.RecordUsageResponse]:
        """Send batches in one stream and return the answers."""
        return [answer async for answer in self.intake.take(_stream(batches))]

    async def report(
        self, records: Iterable[usage_record_pb2.UsageRecord], *, edge_id: int = 1, epoch: int = 1
    ) -> pb.RecordUsageResponse:
        """Report records outside of any spool range and return the answer."""
        (answer,) = await self.send(batch(list(records), edge_id=edge_id, epoch=epoch))
        return answer

    async def rows(self, sql: str, **parameters: object) -> list[tuple[object, ...]]:
        """Read rows over all tenants."""
        async with self.money.database.jobs.transaction("system") as tx:
            return [tuple(row) for row in await tx.all(sql, **parameters)]

    async def account(self, name: str) -> int:
        """Return the sum of an account's entries."""
        ((total,),) = await self.rows(
            "SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM ledger_entry"
            " WHERE account = :name",
            name=name,
        )
        assert isinstance(total, int)
        return total


def batch(
    records: Sequence[usage_record_pb2.UsageRecord],
    *,
    first: int = 0,
    through: int = 0,
    other: int = 0,
    lost: int = 0,
    edge_id: int = 1,
    epoch: int = 1,
    position: int = 0,
) -> pb.RecordUsageRequest:
    """Return a batch; the records take the first sequences of the range."""
    return pb.RecordUsageRequest(
        edge_id=edge_id,
        epoch=epoch,
        first_sequence=first,
        through_sequence=through,
        other_frames=other,
        lost_frames=lost,
        stream_position=position,
        records=[
            pb.SequencedRecord(sequence=first + place, record=record)
            for place, record in enumerate(records)
        ],
    )


async def _stream(
    batches: Sequence[pb.RecordUsageRequest],
) -> AsyncIterator[pb.RecordUsageRequest]:
    for each in batches:
        yield each

"""OperationsService: core looks at itself, its database and its books."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final

from core.db.database import Pool, Transaction
from core.db.migrate import head_revision, revision_of
from core.ledger.messages import money_message
from core.metering.model import add_months
from core.metering.partitions import MONTHS_AHEAD, partition_name
from core.operations import store
from core.timestamps import to_timestamp
from kit.clock import Clock, now, now_micros, to_micros
from kit.rpc.server import Service
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.operations.v1 import operations_service_pb2 as pb
from oneapi.operations.v1 import operations_service_pb2_grpc

NAME: Final = "oneapi.operations.v1.OperationsService"
ALLOWED: Final = dict.fromkeys(("Examine", "ExamineBooks"), frozenset({"operator"}))
ALARMS_OF: Final = timedelta(days=7)
LEFT_OPEN_AFTER: Final = timedelta(minutes=5)
"""A spool that is left is adopted within seconds, if anybody is there."""


class OperationsServicer(operations_service_pb2_grpc.OperationsServiceServicer):
    """Examines the installation."""

    def __init__(self, pool: Pool, clock: Clock, *, lease_silence: timedelta) -> None:
        """Read through a pool that may take its time."""
        self._pool = pool
        self._clock = clock
        self._lease_silence = lease_silence

    async def Examine(self, request: pb.ExamineRequest, context: Any) -> pb.ExamineResponse:
        """Tell what core sees; facts, not verdicts."""
        moment = now(self._clock)
        async with self._pool.transaction("system", snapshot=True) as tx:
            found = pb.ExamineResponse(
                python_version=platform.python_version(),
                schema_head=head_revision(),
            )
            await self._server(tx, found)
            await _catalogue(tx, found, moment)
            await self._leases(tx, found, moment)
            for row in await store.alarms_since(tx, moment - ALARMS_OF):
                found.alarms.add(
                    kind=row.kind, count=row.how_many, last_at=to_timestamp(row.last_at)
                )
        return found

    async def ExamineBooks(
        self, request: pb.ExamineBooksRequest, context: Any
    ) -> pb.ExamineBooksResponse:
        """Add up the books, for as long as the caller waits."""
        async with self._pool.transaction("system", snapshot=True) as tx:
            books = await store.books(tx)
        return pb.ExamineBooksResponse(
            entries_total=money_message(int(books.entries_total)),
            wallets_off=books.wallets_off,
            holds_off=books.holds_off,
        )

    async def _server(self, tx: Transaction, found: pb.ExamineResponse) -> None:
        before = now_micros(self._clock)
        server = await store.server(tx)
        # The question was on its way for half of the time, as far as anybody can tell.
        found.core_time_micros = (before + now_micros(self._clock)) // 2
        found.database_time_micros = to_micros(server.clock)
        found.postgres_version_number = server.version
        found.database_bytes = server.bytes
        found.schema_revision = await revision_of(tx) or ""
        made = await store.partition_names(tx)
        found.missing_partitions.extend(
            f"{month:%Y-%m}"
            for month in _months_ahead(now(self._clock))
            if partition_name(month) not in made
        )

    async def _leases(self, tx: Transaction, found: pb.ExamineResponse, moment: datetime) -> None:
        silent = await store.silent_leases(tx, moment - self._lease_silence)
        found.silent_leases = silent.how_many
        found.silent_held.CopyFrom(money_message(silent.held))
        found.epochs_left_open = await store.epochs_left_open(tx, moment - LEFT_OPEN_AFTER)


def operations_service(pool: Pool, clock: Clock, *, lease_silence: timedelta) -> Service:
    """Return the service for the server."""
    add: Callable[..., None] = operations_service_pb2_grpc.add_OperationsServiceServicer_to_server
    servicer = OperationsServicer(pool, clock, lease_silence=lease_silence)
    return Service(NAME, add, servicer, ALLOWED)


async def _catalogue(tx: Transaction, found: pb.ExamineResponse, moment: datetime) -> None:
    found.upstreams_without_credential.extend(await store.upstreams_without_credential(tx))
    found.upstreams_of_unknown_policy.extend(await store.upstreams_of_unknown_policy(tx))
    found.zero_retention_keys_unserved = await store.zero_retention_keys_unserved(tx, moment)
    for row in await store.unpriced(tx, moment):
        found.unpriced.add(model=row.model, lane=Lane.ValueType(row.lane))


def _months_ahead(moment: datetime) -> list[date]:
    this = date(moment.year, moment.month, 1)
    return [add_months(this, count) for count in range(MONTHS_AHEAD + 1)]

"""`python -m tests.bench.settlement`: a hot wallet's settlement against a bare INSERT of its rows.

Both write the same usage records in the same batches, a commit each, to a server that syncs, in
turn so that a slow moment hits both. Bare is `INSERT ... SELECT FROM unnest(...) ON CONFLICT DO
NOTHING` into a table with the same columns, constraints and indexes: no ledger, no proof, no
rollup. Its arrays are made before the watch starts; everything of a settlement while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from core.db.database import Database
from core.db.values import to_uuid
from core.metering.copy_row import COLUMNS
from core.metering.messages import record_of
from core.metering.model import PricedRecord, figure_of
from core.metering.settle import Reported, settle_group
from kit.charge import DIMENSIONS
from kit.clock import from_micros
from tests.support.metering_world import PRICE, MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld
from tests.support.scratch_database import scratch_database

GOAL: Final = 0.6
_NAMES: Final = [name.strip() for name in COLUMNS.split(",")]
_TYPES: Final = dict.fromkeys(_NAMES, "bigint") | {
    **dict.fromkeys(("id", "workspace_id", "key_id", "settlement_id"), "uuid"),
    **dict.fromkeys(("started_at", "recorded_at"), "timestamptz"),
    "streamed": "boolean",
    "content_hash": "bytea",
    "attempts": "text",
}
_BARE: Final = (
    f"INSERT INTO bare_usage ({COLUMNS}) SELECT "
    + ", ".join("r.attempts::integer[]" if name == "attempts" else f"r.{name}" for name in _NAMES)
    + " FROM unnest("
    + ", ".join(f"CAST(:{name} AS {_TYPES[name]}[])" for name in _NAMES)
    + f") AS r ({COLUMNS}) ON CONFLICT DO NOTHING"
)


class Round(NamedTuple):
    """Records a second of one round."""

    settled: float
    bare: float


def arrays_of(group: Sequence[Reported], now: datetime) -> dict[str, list[object]]:
    """Return the records of a batch as a list for each column."""
    rows = []
    for each in group:
        record = each.record
        priced = PricedRecord(
            record, each.edge_id, each.epoch, each.sequence, each.figure, False,  # noqa: FBT003
            record.content_hash(),
        )  # fmt: skip
        row = {name: getattr(record, name) for name in _NAMES if hasattr(record, name)}
        quantities = dict(zip(_NAMES[14 : 14 + DIMENSIONS], record.quantities, strict=True))
        rows.append(
            row
            | quantities
            | {
                "id": to_uuid(record.request_id),
                "workspace_id": to_uuid(record.workspace_id),
                "key_id": to_uuid(record.key_id),
                "settlement_id": to_uuid(record.request_id),
                "edge_id": each.edge_id,
                "epoch": each.epoch,
                "sequence": each.sequence,
                "started_at": from_micros(record.started_at_micros),
                "recorded_at": now,
                "charge_nanos": priced.charge,
                "waived_nanos": priced.waived,
                "content_hash": priced.content_hash,
                "attempts": "{" + ",".join(map(str, record.attempts)) + "}",
            }
        )
    return {name: [row[name] for row in rows] for name in _NAMES}


class Bench:
    """A rich wallet with a lease, and batches of its records."""

    def __init__(self, world: MeteringWorld, workspace: bytes, size: int) -> None:
        self._world, self._workspace, self._size = world, workspace, size
        self._sequence = 0

    def batch(self) -> list[Reported]:
        """Make the records of one batch, as the intake hands them over."""
        made = []
        for _ in range(self._size):
            self._sequence += 1
            message = self._world.record(self._workspace, input_tokens=1_000 + self._sequence % 500)
            record = record_of(message)
            figure = figure_of(record, PRICE)
            made.append(Reported(record, 1, 1, self._sequence, message.charge_nanos, figure or 0))
        return made

    async def settle(self, group: Sequence[Reported]) -> float:
        """Settle a batch; return the seconds."""
        money, month = self._world.money, group[0].record.month
        began = time.perf_counter()
        async with money.database.metering.transaction("system") as tx:
            await settle_group(tx, self._workspace, month, group, ids=money.ids, now=money.now)
            await tx.commit()
        return time.perf_counter() - began

    async def insert(self, group: Sequence[Reported]) -> float:
        """Insert the same rows bare; return the seconds."""
        money = self._world.money
        arrays = arrays_of(group, money.now)
        began = time.perf_counter()
        async with money.database.metering.transaction("system") as tx:
            await tx.run(_BARE, **arrays)
            await tx.commit()
        return time.perf_counter() - began

    async def round(self, batches: int) -> Round:
        """Write so many batches both ways, in turn."""
        settled = bare = 0.0
        for number in range(batches):
            group = self.batch()
            # Whoever comes first warms nothing for the other: the first changes each time.
            if number % 2:
                settled += await self.settle(group)
                bare += await self.insert(group)
            else:
                bare += await self.insert(group)
                settled += await self.settle(group)
        records = batches * self._size
        return Round(records / settled, records / bare)


async def run(database_url: str, *, batches: int, size: int, rounds: int) -> list[Round]:
    """Measure so many rounds after one that warms up; the books must balance in the end."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("SET ROLE oneapi_owner")
        await connection.execute("CREATE TABLE bare_usage (LIKE usage_record INCLUDING ALL)")
        await connection.execute("GRANT SELECT, INSERT ON bare_usage TO oneapi_system")
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    world = await MeteringWorld.start(money)
    workspace = await money.workspace()
    await money.grant(workspace, 1_000_000 * DOLLAR)
    await money.acquire(workspace, 1, 900_000 * DOLLAR)
    bench = Bench(world, workspace, size)
    await bench.round(2)
    found = [await bench.round(batches) for _ in range(rounds)]
    same = await world.rows(
        "SELECT (SELECT count(*) FROM usage_record), (SELECT count(*) FROM bare_usage),"
        " (SELECT count(*) FROM usage_record AS u JOIN bare_usage AS b USING (id, content_hash))"
    )
    findings = await money.findings()
    await world.stop()
    await database.close()
    if len(set(same[0])) != 1 or findings:
        sys.exit(f"not the same rows, or books that do not balance: {same} {findings[:3]}")
    return found


def table(found: Sequence[Round], *, batches: int, size: int) -> str:
    """Return the figures of all rounds."""
    lines = [
        f"{batches} batches of {size} records of one wallet in each round",
        "",
        "| round | settled/s | bare INSERT/s | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for number, each in enumerate(found, start=1):
        ratio = each.settled / each.bare
        lines.append(f"| {number} | {each.settled:,.0f} | {each.bare:,.0f} | {ratio:.2f} |")
    median = statistics.median(each.settled / each.bare for each in found)
    lines.append(f"\nMedian ratio {median:.2f}; the goal is {GOAL} or more.")
    return "\n".join(lines)


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.settlement")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="Write the table to this file as well.")
    options = parser.parse_args()
    sizes = {"batches": options.batches, "size": options.size}
    with scratch_database(durable=True) as url:
        found = asyncio.run(run(url, **sizes, rounds=options.rounds))
    stamp = datetime.now(tz=UTC).strftime("%Y-%m-%d")
    head = f"{stamp}, {os.cpu_count()} CPUs, Python {platform.python_version()}, synced"
    text = f"{head}\n\n{table(found, **sizes)}\n"
    sys.stdout.write(text)
    if options.write is not None:
        options.write.write_text(f"# Settlement of a hot wallet\n\n{text}")


if __name__ == "__main__":
    main()

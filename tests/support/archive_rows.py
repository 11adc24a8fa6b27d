"""Exported usage rows as core sends them, made up from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from archiver.columns import QUANTITIES, WIRE_SCHEMA
from archiver.model import Settlement
from kit.canonical import record_leaf
from kit.ids import format_id, uuid7_bytes
from kit.merkle import root

MONTH = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH_MS = 31 * 24 * 3_600 * 1_000
ROWS_PER_SETTLEMENT = 50
Row = dict[str, Any]


def workspace(number: int) -> bytes:
    """The id of a made-up workspace; larger numbers have larger ids."""
    return bytes([number]) * 16


def rows(workspace_id: bytes, count: int, seed: int = 1) -> list[Row]:
    """Rows of one workspace, in the order of their ids."""
    source = random.Random(f"{seed} {workspace_id.hex()}")
    start = int(START.timestamp()) * 1_000
    times = sorted(source.randrange(MONTH_MS) for _ in range(count))
    ids = sorted(
        uuid7_bytes(start + at, place % 4_096, source.randbytes(8))
        for place, at in enumerate(times)
    )
    settlements = [source.randbytes(16) for _ in range(count // ROWS_PER_SETTLEMENT + 1)]
    return [
        _row(source, workspace_id, request_id, settlements[number // ROWS_PER_SETTLEMENT])
        for number, request_id in enumerate(ids)
    ]


def _row(source: random.Random, workspace_id: bytes, id: bytes, settlement_id: bytes) -> Row:
    row: Row = {name: source.randrange(2_000) for name in QUANTITIES[:6]}
    row |= dict.fromkeys(QUANTITIES[6:10], 0) | {"requests": 1, "tool_calls": 0}
    waived = source.random() < 0.05
    figure = source.randrange(10**9)
    milliseconds = int.from_bytes(id[:6], "big")
    failed = source.random() < 0.1
    return row | {
        "id": id,
        "workspace_id": workspace_id,
        "key_id": bytes(15) + bytes([source.randrange(1, 4)]),
        "settlement_id": settlement_id,
        "started_at": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds),
        "model": source.choice(["small-1", "large-2.5"]),
        "requested_lane": source.randrange(1, 4),
        "served_lane": source.randrange(1, 4),
        "endpoint": source.randrange(1, 6),
        "streamed": source.random() < 0.5,
        "outcome": 2 if failed else 1,
        "error_class": 9 if failed else 0,
        "finish_reason": 0 if failed else 1,
        "http_status": source.choice([0, 200, 503]),
        "first_token_ms": source.choice([0, 250]),
        "total_ms": source.randrange(60_000),
        "price_version": 7,
        "charge_nanos": 0 if waived else figure,
        "waived_nanos": figure if waived else 0,
        "waive_reason": 3 if waived else 0,
        "usage_source": 1,
        "hold_nanos": 2 * figure,
        "attempts": 1,
        "delivered_events": source.randrange(100),
        "data_policy": 2,
    }


def batch(found: Sequence[Row]) -> pa.RecordBatch:
    """Rows as Arrow has them."""
    return pa.RecordBatch.from_pylist(list(found), schema=WIRE_SCHEMA)


def messages(found: Sequence[Row], rows_each: int) -> Iterator[bytes]:
    """Rows as the messages of an export."""
    for start in range(0, len(found), rows_each):
        sink = pa.BufferOutputStream()
        part = batch(found[start : start + rows_each])
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_batch(part)
        yield sink.getvalue().to_pybytes()


def settlements(found: Sequence[Row]) -> tuple[Settlement, ...]:
    """The settlements of rows."""
    by_id: dict[bytes, list[Row]] = {}
    for row in found:
        by_id.setdefault(row["settlement_id"], []).append(row)
    return tuple(
        Settlement(
            format_id("txn", name), place + 1, bytes([7]) * 32, root(leaves(mine)), len(mine)
        )
        for place, (name, mine) in enumerate(by_id.items())
    )


def leaves(found: Sequence[Row]) -> list[bytes]:
    """The leaves of rows, by their ids."""
    return [
        record_leaf(
            row["id"],
            row["price_version"],
            tuple(row[name] for name in QUANTITIES),
            row["charge_nanos"],
        )
        for row in sorted(found, key=lambda row: bytes(row["id"]))
    ]

"""A month's billing is kept by workspace, in a piece for each message."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from archiver.initial import joined, part_billing
from tests.support.archive_core import BILLING_SCHEMA
from tests.support.archive_rows import Row, workspace


def bill(number: int) -> Row:
    """One row."""
    return {
        "workspace_id": workspace(number),
        "transaction_id": bytes(16),
        "posted_at": datetime(2026, 3, 5, tzinfo=UTC),
        "kind": "paid_grant",
        "category": "purchase",
        "grant_id": None,
        "amount_nanos": number,
        "document": None,
    }


def message(numbers: list[int]) -> bytes:
    """Rows of workspaces as core sends them."""
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pylist([bill(number) for number in numbers], BILLING_SCHEMA)
    with pa.ipc.new_stream(sink, BILLING_SCHEMA) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def test_many_rows_of_a_workspace_are_one_piece() -> None:
    """Not one each: a month may have some hundred thousand."""
    found: dict[bytes, list[pa.RecordBatch]] = {}
    part_billing(message([1] * 500 + [2] * 300), found)
    part_billing(message([2] * 200 + [3]), found)
    part_billing(message([]), found)
    assert {owner: len(pieces) for owner, pieces in found.items()} == {
        workspace(1): 1,
        workspace(2): 2,
        workspace(3): 1,
    }
    billing = joined(found)
    assert {owner: rows.num_rows for owner, rows in billing.items()} == {
        workspace(1): 500,
        workspace(2): 500,
        workspace(3): 1,
    }
    assert set(billing[workspace(2)].column("amount_nanos").to_pylist()) == {2}

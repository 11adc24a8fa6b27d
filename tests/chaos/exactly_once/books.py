"""The books of the service after a round, read from its tables; amounts in nano-dollars."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

_RECORDS = """
SELECT id, hold_nanos, outcome, usage_source, waive_reason, charge_nanos, waived_nanos,
       input_tokens, output_tokens, delivered_events, http_status, edge_id, epoch,
       extract(epoch FROM recorded_at)::float8 AS recorded_at
  FROM usage_record ORDER BY id
"""


class Row(NamedTuple):
    """A usage record, as far as the claims speak of it."""

    request_id: bytes
    hold: int
    outcome: int
    usage_source: int
    waive_reason: int
    charge: int
    waived: int
    input_tokens: int
    output_tokens: int
    delivered_events: int
    http_status: int
    edge_id: int
    epoch: int
    recorded_at: float


@dataclass(frozen=True, slots=True)
class Books:
    """What the tables say."""

    records: list[Row]
    late: int
    charged: int
    settled_records: int
    revenue: int
    posted: int
    held: int
    all_entries: int
    open_leases: int
    missing_frames: int
    alarms: dict[str, int]

    @property
    def by_id(self) -> dict[bytes, Row]:
        """Return the records by request."""
        return {row.request_id: row for row in self.records}

    @property
    def by_hold(self) -> dict[int, list[Row]]:
        """Return the records by their hold."""
        found: dict[int, list[Row]] = defaultdict(list)
        for row in self.records:
            found[row.hold].append(row)
        return found


def read_books(database_url: str) -> Books:
    """Read everything in one transaction."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET ROLE oneapi_system")

        def number(statement: str) -> int:
            row = connection.execute(statement).fetchone()
            return int(row[0] or 0) if row else 0

        rows = connection.execute(_RECORDS).fetchall()
        kinds = connection.execute("SELECT kind, count(*) FROM alarm GROUP BY kind").fetchall()
        return Books(
            records=[Row(row[0].bytes, *row[1:]) for row in rows],
            late=number("SELECT count(*) FROM usage_late"),
            charged=number("SELECT sum(charge_nanos) FROM usage_record"),
            settled_records=number("SELECT sum(record_count) FROM ledger_txn"),
            revenue=number("SELECT sum(amount) FROM ledger_entry WHERE account = 'rev.usage'"),
            posted=number("SELECT sum(posted) FROM wallet"),
            held=number("SELECT sum(held) FROM wallet"),
            all_entries=number("SELECT sum(amount) FROM ledger_entry"),
            open_leases=number("SELECT count(*) FROM lease WHERE closed_at IS NULL"),
            missing_frames=number("SELECT sum(missing_frames) FROM edge_epoch"),
            alarms={str(kind): int(count) for kind, count in kinds},
        )

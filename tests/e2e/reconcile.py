"""Many requests, one in ten cut by the client; then the books: every sum from its own source.

`python -m tests.e2e.reconcile --requests 10000` runs it on a service of its own and prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from oneapi.metering.v1.usage_service_pb2 import SumUsageRequest
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from tests.support.operator_calls import CALL_SECONDS_MAX
from tests.support.postgres import forgetful_server
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, TEXT, Stack, public_ids
from tests.support.traffic import Load

CREDIT_NANOS = 1_000_000_000_000
SETTLED_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Books:
    """What is there after the traffic; money in nano-dollars, credits as positive numbers."""

    requests: int
    whole: int
    cut: int
    refused: int
    upstream_calls: int
    records: int
    charges: int
    revenue: int
    drop: int
    held: int
    all_entries: int


def records_of(stack: Stack) -> int:
    """Return how many records the workspace has."""
    stub = UsageServiceStub(stack.channel)
    asked = SumUsageRequest(workspace_id=stack.workspace_id)
    return stub.SumUsage(asked, timeout=CALL_SECONDS_MAX).total.requests


def run(stack: Stack, requests: int) -> tuple[int, int, int, int]:
    """Send the traffic; wait until all that was accepted is recorded."""
    names = public_ids()
    stack.replay.reset()
    stack.replay.set_faults(STREAM, pace_ms=3)
    load = Load(stack.base_url, stack.api_key, (names[TEXT], names[STREAM]))
    traffic = asyncio.run(load.run(requests))
    until(lambda: stack.replay.calls().running == 0, SETTLED_SECONDS_MAX)
    calls = stack.replay.calls().total
    until(lambda: records_of(stack) >= calls, SETTLED_SECONDS_MAX)
    return traffic.whole, traffic.cut, traffic.refused, calls


def close(stack: Stack, requests: int, seen: tuple[int, int, int, int], given: int) -> Books:
    """Stop the service, which closes the leases, and read the books from the tables."""
    stack.stop()
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SET ROLE oneapi_system")

        def number(statement: str) -> int:
            row = connection.execute(statement).fetchone()
            return int(row[0] or 0) if row else 0

        return Books(
            requests,
            *seen,
            records=number("SELECT count(*) FROM usage_record"),
            charges=number("SELECT sum(charge_nanos) FROM usage_record"),
            revenue=number("SELECT sum(amount) FROM ledger_entry WHERE account = 'rev.usage'"),
            drop=given - number("SELECT sum(posted) FROM wallet"),
            held=number("SELECT sum(held) FROM wallet"),
            all_entries=number("SELECT sum(amount) FROM ledger_entry"),
        )


def main() -> int:
    """Run it on a service of its own; return 0 if the books are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="oneapi-reconcile-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        with (
            forgetful_server() as server,
            ReplayProcess() as replay,
            Stack(data_dir, replay, server.dsn) as stack,
        ):
            stack.grant(CREDIT_NANOS)
            given = stack.balance().total.amount_nanos
            seen = run(stack, requests)
            proof = stack.run("audit", "verify")
            books = close(stack, requests, seen, given)
    sys.stdout.write(json.dumps({**asdict(books), "audit": proof}, indent=2) + "\n")
    right = books.charges == books.revenue == books.drop > 0
    return 0 if right and books.held == books.all_entries == 0 and proof["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

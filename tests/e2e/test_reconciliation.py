"""After a storm of requests the books are right to the nano-dollar, and tampering shows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.reconcile import CREDIT_NANOS, close, run
from tests.support.postgres import PostgresServer
from tests.support.replay.client import ReplayProcess
from tests.support.stack import Stack

REQUESTS = 300
"""`python -m tests.e2e.reconcile` runs ten thousand."""

CHANGES = {
    "an entry's amount": """
        UPDATE ledger_entry SET amount = amount + 1 WHERE account = 'rev.usage' AND txn_id =
        (SELECT txn_id FROM ledger_entry WHERE account = 'rev.usage'
        ORDER BY txn_id LIMIT 1)""",
    "a record's charge": """
        UPDATE usage_record SET charge_nanos = charge_nanos + 1 WHERE id =
        (SELECT id FROM usage_record WHERE charge_nanos > 0 ORDER BY id LIMIT 1)""",
    "a record's tokens": """
        UPDATE usage_record SET output_tokens = output_tokens + 1 WHERE id =
        (SELECT id FROM usage_record WHERE output_tokens > 0 ORDER BY id LIMIT 1)""",
}


@pytest.fixture(scope="module")
def storm(
    postgres_server: PostgresServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Give a service of its own."""
    database_url = postgres_server.make_database(template=migrated_template)
    folder = tmp_path_factory.mktemp("storm")
    with ReplayProcess() as replay, Stack(folder, replay, database_url) as running:
        yield running
    postgres_server.drop_database(database_url)


def test_every_sum_agrees_after_a_storm_with_cuts(
    storm: Stack, postgres_server: PostgresServer
) -> None:
    """Charges, revenue and the wallet's drop are one number; the proof holds until tampered."""
    storm.grant(CREDIT_NANOS)
    given = storm.balance().total.amount_nanos
    seen = run(storm, REQUESTS)
    assert storm.run("audit", "verify")["ok"]
    _each_change_is_found(storm, postgres_server.superuser_url_of(storm.database_url))
    assert storm.run("audit", "verify")["ok"]
    books = close(storm, REQUESTS, seen, given)
    assert (books.whole + books.cut, books.refused) == (REQUESTS, 0)
    assert books.cut == REQUESTS // 10
    assert books.records >= books.upstream_calls >= books.whole
    assert books.charges == books.revenue == books.drop > 0
    assert (books.held, books.all_entries) == (0, 0)


def _each_change_is_found(storm: Stack, superuser_url: str) -> None:
    for name, change in CHANGES.items():
        undo = change.replace("+ 1 WHERE", "- 1 WHERE", 1)
        _tamper(superuser_url, change)
        found = storm.run("audit", "verify", expected=1)
        assert not found["ok"], name
        _tamper(superuser_url, undo)


def _tamper(superuser_url: str, statement: str) -> None:
    """Change a row behind the service's back, triggers included."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute("SET session_replication_role = replica")
        changed = connection.execute(statement)
        assert changed.rowcount >= 1

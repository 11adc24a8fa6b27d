"""Databases for tests: fresh each time, migrated once per session."""

from __future__ import annotations

import psycopg

from tests.support.postgres import PostgresServer


def test_each_database_is_fresh(postgres_server: PostgresServer) -> None:
    """What one test writes no other test sees."""
    first, second = postgres_server.make_database(), postgres_server.make_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE only_here (number integer)")
    with psycopg.connect(second) as connection:
        found = connection.execute("SELECT to_regclass('only_here')").fetchone()
    assert found == (None,)
    for dsn in (first, second):
        postgres_server.drop_database(dsn)


def test_a_migrated_database_has_our_tables(database_url: str) -> None:
    """The login can take on the four roles and sees the schema."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET LOCAL ROLE oneapi_system")
        assert connection.execute("SELECT count(*) FROM workspace").fetchone() == (0,)


def test_the_superuser_can_tamper_with_a_test_database(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    """Tests of proofs change rows that no role of ours may change."""
    with psycopg.connect(postgres_server.superuser_url_of(empty_database)) as connection:
        state = connection.execute(
            "SELECT current_database(), rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert state == (psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"], True)

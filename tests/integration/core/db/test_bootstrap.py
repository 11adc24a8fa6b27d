"""Roles and migrations: repeatable, and safe when two processes start together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from core.db.bootstrap import ROLES, RolesMissing, ensure_roles, migrate
from core.db.migrate import MIGRATIONS, current_revision
from tests.support.postgres import PostgresServer


def newest_revision() -> str:
    """Return the last of the migrations at hand."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("0*.py"))[:4]


def test_ensure_roles_may_be_repeated(empty_database: str) -> None:
    """Every start calls it."""
    ensure_roles(empty_database)
    ensure_roles(empty_database)
    with psycopg.connect(empty_database) as connection:
        found = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND NOT rolcanlogin",
            (list(ROLES),),
        ).fetchall()
    assert {name for (name,) in found} == set(ROLES)


def test_two_processes_that_start_together_migrate_once(empty_database: str) -> None:
    """The second one waits for the first and finds nothing left to do."""
    ensure_roles(empty_database)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, [empty_database] * 2))
    assert current_revision(empty_database) == newest_revision()


def test_migrating_again_changes_nothing(database_url: str) -> None:
    """At the newest version there is nothing to do."""
    migrate(database_url)
    assert current_revision(database_url) == newest_revision()


def test_a_login_without_the_right_cannot_make_roles(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    """A login that is no member of the roles is told so at start, not at its first request."""
    ensure_roles(empty_database)
    superuser = postgres_server.superuser_url_of(empty_database)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    own = empty_database.split("//", 1)[1].split("@", 1)
    with pytest.raises(RolesMissing):
        ensure_roles(f"postgresql://stranger:stranger@{own[1]}")
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("DROP ROLE stranger")


def test_an_administrator_makes_the_login(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    """On a server of somebody else's, an administrator prepares the login once."""
    superuser = postgres_server.superuser_url_of(empty_database)
    ensure_roles(superuser, login="hired", password="made-up")
    own = empty_database.split("//", 1)[1].split("@", 1)[1]
    ensure_roles(f"postgresql://hired:made-up@{own}")
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("DROP OWNED BY hired; DROP ROLE hired")


def test_the_login_alone_can_read_nothing(database_url: str) -> None:
    """NOINHERIT: without naming a role the login has no rights."""
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM workspace")

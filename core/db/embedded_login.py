"""What an embedded server needs beside its cluster: a login without privileges, its database."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

DATABASE: Final = "oneapi"
LOGIN: Final = "oneapi"

_CONNECT_SECONDS: Final = 5


def ensure_login(superuser_dsn: str, password: str) -> None:
    """Make the login that the services use and its database, where they are not there yet.

    It is no superuser, but it may make the four roles. Raises psycopg.OperationalError while the
    server does not answer.
    """
    with _connect(superuser_dsn) as connection:
        _ensure_role(connection, password)
        _ensure_database(connection)


def own_public_schema(superuser_dsn: str) -> None:
    """Give the login the schema `public` of the database that the URL names.

    A NOINHERIT owner of a database has no rights of its own on it otherwise.
    """
    with _connect(superuser_dsn) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(LOGIN)))


def _connect(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_SECONDS)


def _ensure_role(connection: psycopg.Connection, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (LOGIN,)).fetchone()
    if known is None:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE NOINHERIT PASSWORD {}").format(
                sql.Identifier(LOGIN), sql.Literal(password)
            )
        )


def _ensure_database(connection: psycopg.Connection) -> None:
    known = connection.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
    ).fetchone()
    if known is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(DATABASE), sql.Identifier(LOGIN)
            )
        )

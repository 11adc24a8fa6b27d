"""First steps in a database: the four roles, and what they may do in the schema.

`owner` migrates, `app` serves one tenant, `system` serves all, `partitions` owns the usage tables.
The login is a NOINHERIT member of the four: without `SET ROLE` it can do nothing.
"""

from __future__ import annotations

import time
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from core.db.migrate import migrate

__all__ = ["ROLES", "RolesMissing", "ensure_roles", "migrate"]

ROLES: Final = ("oneapi_owner", "oneapi_app", "oneapi_system", "oneapi_partitions")
_ATTEMPTS: Final = 5
_WAIT_SECONDS: Final = 0.2
_SET_OPTION_SINCE: Final = 160_000

_CHECK: Final = """
SELECT count(*) = 4
   AND bool_and(pg_has_role(current_user, oid, %s))
   AND has_schema_privilege('oneapi_owner', 'public', 'CREATE')
   AND has_schema_privilege('oneapi_partitions', 'public', 'CREATE')
   AND pg_has_role('oneapi_owner', 'oneapi_partitions', 'USAGE')
  FROM pg_roles WHERE rolname = ANY(%s)
"""


class RolesMissing(RuntimeError):
    """The roles are not there and this login may not make them: an administrator must."""


def ensure_roles(dsn: str, *, login: str | None = None, password: str | None = None) -> None:
    """Make the roles where they are missing; safe to repeat and when two processes start.

    The roles go to `login` (the connecting user by default), which is made with `password` if it
    does not exist. A login without CREATEROLE only checks.

    Raises:
        RolesMissing: they are not there and may not be made.
    """
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
        for attempt in range(_ATTEMPTS):
            if login is None and _is_ready(connection):
                return
            try:
                _make(connection, login, password)
                return
            except errors.InsufficientPrivilege:
                raise RolesMissing from None
            except (errors.UniqueViolation, errors.InternalError_):
                # Another process is making the same roles now.
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_WAIT_SECONDS)


def _is_ready(connection: psycopg.Connection[Any]) -> bool:
    option = "SET" if connection.info.server_version >= _SET_OPTION_SINCE else "MEMBER"
    try:
        row = connection.execute(_CHECK, (option, list(ROLES))).fetchone()
    except errors.UndefinedObject:
        return False
    return bool(row and row[0])


def _make(connection: psycopg.Connection[Any], login: str | None, password: str | None) -> None:
    for role in ROLES:
        _make_role(connection, sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    if login is not None:
        statement = sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}")
        _make_role(connection, statement.format(sql.Identifier(login), sql.Literal(password)))
    member = sql.SQL("CURRENT_USER") if login is None else sql.Identifier(login)
    with connection.transaction():
        for role in ROLES:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), member))
        connection.execute("GRANT oneapi_partitions TO oneapi_owner")
        connection.execute(
            "GRANT USAGE, CREATE ON SCHEMA public TO oneapi_owner, oneapi_partitions"
        )


def _make_role(connection: psycopg.Connection[Any], statement: sql.Composed) -> None:
    try:
        connection.execute(statement)
    except errors.DuplicateObject:
        return

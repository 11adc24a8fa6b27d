"""A PostgreSQL server for the wire in front of one."""

from tests.support.postgres import postgres_server

__all__ = ["postgres_server"]

"""A wire to PostgreSQL loses commits as ordered: the client cannot tell which way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.links.client import Commits
from tests.support.postgres import PostgresServer
from tests.support.processes import until


@dataclass
class World:
    """A database with one table, reached straight and through the wire."""

    straight: str
    wired: str
    wire: Commits

    def insert(self, number: int) -> None:
        """Insert a row through the wire and commit."""
        with psycopg.connect(self.wired) as connection:
            connection.execute("INSERT INTO kept VALUES (%s)", (number,))

    def kept(self) -> list[int]:
        """Return what is committed."""
        with psycopg.connect(self.straight) as connection:
            return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY 1")]


@pytest.fixture
def world(postgres_server: PostgresServer) -> Iterator[World]:
    """Give a wire that carries every commit."""
    straight = postgres_server.superuser_url_of(postgres_server.make_database())
    with psycopg.connect(straight) as connection:
        connection.execute("CREATE TABLE kept (number integer PRIMARY KEY)")
    url = urlsplit(straight)
    (folder,) = parse_qs(url.query)["host"]
    with Commits(f"{folder}/.s.PGSQL.5432", seed=1) as wire:
        place = f"{url.username}:{url.password}@127.0.0.1:{wire.port}"
        wired = url._replace(netloc=place, query="sslmode=disable&gssencmode=disable").geturl()
        yield World(straight, wired, wire)
    postgres_server.drop_database(straight)


def test_without_orders_every_commit_is_carried(world: World) -> None:
    """And counted."""
    world.insert(1)
    assert world.kept() == [1]
    assert world.wire.tell() == {"carried": 1}


def test_a_lost_commit_is_rolled_back(world: World) -> None:
    """The client sees its connection break after it asked to commit."""
    world.wire.tell(lose_commit=1.0)
    with pytest.raises(psycopg.OperationalError):
        world.insert(1)
    assert world.kept() == []


def test_a_lost_answer_is_of_a_commit_that_was_done(world: World) -> None:
    """The client sees the same, yet the row is there."""
    world.wire.tell(lose_answer=1.0)
    with pytest.raises(psycopg.OperationalError):
        world.insert(1)
    assert world.kept() == [1]


def test_of_a_commit_whose_track_is_lost_nobody_knows(world: World) -> None:
    """The client sees the same; the row may be there or not, but only whole."""
    world.wire.tell(lose_track=1.0)
    for number in range(5):
        with pytest.raises(psycopg.OperationalError):
            world.insert(number)
    world.wire.tell(lose_track=0.0)
    assert set(world.kept()) <= set(range(5))


def test_a_frozen_wire_holds_everything_back(world: World) -> None:
    """The connection stays, the answer comes when it thaws."""
    with psycopg.connect(world.wired) as connection:
        connection.execute("SELECT 1")
        world.wire.tell(frozen=True)
        connection.pgconn.send_query(b"INSERT INTO kept VALUES (7)")
        connection.pgconn.consume_input()
        assert connection.pgconn.is_busy()
        assert world.kept() == []
        world.wire.tell(frozen=False)

        def answered() -> bool:
            connection.pgconn.consume_input()
            return not connection.pgconn.is_busy()

        until(answered)
        while connection.pgconn.get_result() is not None:
            pass
    assert world.kept() == [7]

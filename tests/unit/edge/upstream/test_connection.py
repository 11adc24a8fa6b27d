"""What the pool relies on in a connection, where no exchange shows it."""

from __future__ import annotations

import asyncio
import socket

from edge.upstream.connection import READ_BYTES, Connection
from edge.upstream.exchange import Exchange
from edge.upstream.message import Limits
from tests.unit.edge.upstream.servers import PATIENT


class Forgetful:
    """A pool that only counts."""

    def __init__(self) -> None:
        self.forgotten = 0

    def give_back(self, connection: Connection) -> None:
        """Nothing is kept here."""

    def forget(self, connection: Connection) -> None:
        """Count."""
        self.forgotten += 1


def _connection(owner: Forgetful) -> Connection:
    scratch = memoryview(bytearray(READ_BYTES))
    return Connection(asyncio.get_running_loop(), owner, scratch, 65_536)


async def _connect(connection: Connection) -> socket.socket:
    """Connect over loopback and return the other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        theirs, _ = listener.accept()
    theirs.settimeout(5)
    return theirs


async def test_a_connection_made_after_it_was_given_up_is_closed() -> None:
    """The caller was cancelled while TLS shook hands; nobody would ever close it."""
    connection = _connection(Forgetful())
    connection.abort()
    theirs = await _connect(connection)
    await asyncio.sleep(0.01)
    with theirs:
        assert theirs.recv(1) == b""


async def test_a_request_on_a_closed_connection_is_not_begun() -> None:
    """The caller may send it elsewhere: no byte of it was taken."""
    owner = Forgetful()
    connection = _connection(owner)
    theirs = await _connect(connection)
    assert connection.transport is not None
    connection.transport.abort()
    exchange = Exchange(PATIENT, Limits(), is_head=False)
    assert not connection.begin(exchange, b"GET / HTTP/1.1\r\n\r\n", b"")
    assert owner.forgotten
    await asyncio.sleep(0.01)
    with theirs:
        assert theirs.recv(1) == b""

"""A wire does to bytes what its orders say, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.support.links.client import Wire

SOON_SECONDS = 20.0
SILENCE_SECONDS = 0.2


@dataclass
class Echo:
    """A server that remembers what came, and says it again."""

    wire: Wire
    received: bytearray = field(default_factory=bytearray)
    calls: list[Call] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while piece := await reader.read(1_000):
                self.received += piece
                writer.write(piece)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connect(self) -> Call:
        """Connect through the wire."""
        call = Call(*await asyncio.open_connection("127.0.0.1", self.wire.port))
        self.calls.append(call)
        return call

    async def call(self) -> Call:
        """Connect and hear the first echo."""
        call = await self.connect()
        assert await call.echo(b"hello ") == b"hello "
        return call


@dataclass
class Call:
    """A client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def echo(self, words: bytes, seconds: float = SOON_SECONDS) -> bytes:
        """Send something and return what comes back; raises TimeoutError if nothing does."""
        self.writer.write(words)
        return await self.hear(seconds)

    async def hear(self, seconds: float = SOON_SECONDS) -> bytes:
        """Return what comes."""
        async with asyncio.timeout(seconds):
            return await self.reader.read(1_000)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Give a server behind a wire that passes everything."""
    made = Echo(Wire(0))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    with Wire(server.sockets[0].getsockname()[1], seed=1) as made.wire:
        yield made
        for call in made.calls:
            call.writer.transport.abort()
        await asyncio.sleep(0)
    server.close()


async def test_a_frozen_wire_keeps_bytes_and_lets_them_go_later(echo: Echo) -> None:
    """The connection stays, nothing arrives; when it thaws nothing is missing."""
    call = await echo.call()
    echo.wire.tell(mode="freeze")
    with pytest.raises(TimeoutError):
        await call.echo(b"there", SILENCE_SECONDS)
    assert bytes(echo.received) == b"hello "
    echo.wire.tell(mode="pass")
    assert await call.hear() == b"there"


async def test_a_deaf_wire_loses_what_the_client_says(echo: Echo) -> None:
    """The server never hears it, not even later."""
    call = await echo.call()
    echo.wire.tell(mode="deaf")
    with pytest.raises(TimeoutError):
        await call.echo(b"lost", SILENCE_SECONDS)
    echo.wire.tell(mode="pass")
    assert await call.echo(b"there") == b"there"
    assert bytes(echo.received) == b"hello there"


async def test_a_mute_wire_loses_what_the_server_says(echo: Echo) -> None:
    """The server has heard it; the client never learns."""
    call = await echo.call()
    echo.wire.tell(mode="mute")
    with pytest.raises(TimeoutError):
        await call.echo(b"heard ", SILENCE_SECONDS)
    echo.wire.tell(mode="pass")
    assert await call.echo(b"there") == b"there"
    assert bytes(echo.received) == b"hello heard there"


async def test_a_wire_that_refuses_resets_old_and_new_connections(echo: Echo) -> None:
    """Both ends see a reset; when it passes again, new connections work."""
    call = await echo.call()
    assert echo.wire.tell(mode="refuse") == {"cut": 1}
    with pytest.raises(ConnectionError):
        await call.hear()
    with pytest.raises(ConnectionError):
        # The reset may be there before the connection is said to be made.
        await (await echo.connect()).hear()
    echo.wire.tell(mode="pass")
    await echo.call()


async def test_a_cut_is_once_unless_it_goes_on(echo: Echo) -> None:
    """`cut` resets what there is; `cut_every_seconds` whatever comes."""
    call = await echo.call()
    echo.wire.tell(cut=True)
    with pytest.raises(ConnectionError):
        await call.hear()
    await echo.call()
    echo.wire.tell(cut_every_seconds=0.1)
    for _ in range(3):
        call = await echo.connect()
        with pytest.raises(ConnectionError):
            await call.hear()
    assert echo.wire.tell(cut_every_seconds=0)["cut"] >= 4


async def test_a_delay_holds_every_piece_back(echo: Echo) -> None:
    """There and back take the delay twice."""
    call = await echo.call()
    echo.wire.tell(delay_ms=60)
    began = time.monotonic()
    assert await call.echo(b"late") == b"late"
    assert time.monotonic() - began >= 0.12

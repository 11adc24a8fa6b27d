"""`python -m tests.support.links.wire --target PORT`: a TCP wire that can be cut, frozen, slowed.

Orders: `mode` is one of

| mode | what happens |
| --- | --- |
| `pass` | bytes go both ways |
| `refuse` | new connections are reset, running ones too |
| `freeze` | connections stay open and nothing arrives at either end any more |
| `deaf` | what the client sends is lost, what the server sends arrives |
| `mute` | what the server sends is lost, what the client sends arrives |

`delay_ms` holds every piece back; `cut` resets all running connections once; `cut_every_seconds`
goes on doing so at random moments about so far apart (0 ends that); `idle_seconds` closes what was
silent in both directions for longer, as reverse proxies do (0: never). The answer to an order is
how many connections were cut. With `--record FOLDER` all that arrives is kept there, in a file
for each connection and direction.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from tests.support.links.orders import announce, follow

Mode = Literal["pass", "refuse", "freeze", "deaf", "mute"]
MODES = get_args(Mode)
PIECE_BYTES = 65_536
FROZEN_SECONDS = 0.02
IDLE_LOOK_SECONDS = 0.1
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST."""

Link = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


@dataclass
class Wire:
    """One listener in front of one port."""

    target: int
    mode: Mode = "pass"
    delay_ms: int = 0
    cut_every_seconds: float = 0.0
    seed: int = 0
    record: Path | None = None
    links: set[Link] = field(default_factory=set)
    idle_seconds: float = 0.0
    spoke_at: dict[Link, float] = field(default_factory=dict)
    connections: int = 0
    cuts: int = 0

    def obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take an order; unknown words are an error of the test."""
        for name, value in order.items():
            if name == "cut":
                self._cut()
            elif name == "mode" and value in MODES:
                self.mode = value
            elif name in {"delay_ms", "cut_every_seconds", "idle_seconds"}:
                setattr(self, name, value)
            else:
                raise ValueError(name)
        if self.mode == "refuse":
            self._cut()
        return {"cut": self.cuts}

    async def cut_at_random(self) -> None:
        """Reset all connections now and then, as long as it is ordered."""
        chance = random.Random(self.seed)
        while True:
            await asyncio.sleep(max(0.05, self.cut_every_seconds * chance.uniform(0.2, 1.8)))
            if self.cut_every_seconds:
                self._cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.mode == "refuse":
            reset(writer)
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        link = (writer, upstream[1])
        self.links.add(link)
        self.connections += 1
        up, down = (self._kept_in(f"{self.connections}-{way}") for way in ("up", "down"))
        self.spoke_at[link] = asyncio.get_running_loop().time()
        ways = [
            asyncio.create_task(self._until_idle(link)),
            asyncio.create_task(self._carry(reader, upstream[1], lost_in="deaf", kept=up)),
            asyncio.create_task(self._carry(upstream[0], writer, lost_in="mute", kept=down)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.links.discard(link)
            self.spoke_at.pop(link, None)
            close(link)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        lost_in: Mode,
        kept: Path | None,
    ) -> None:
        while True:
            await self._thawed()
            piece = await reader.read(PIECE_BYTES)
            if not piece:
                return
            if kept is not None:
                with kept.open("ab") as file:
                    file.write(piece)
            if self.delay_ms:
                await asyncio.sleep(self.delay_ms / 1000)
            await self._thawed()
            if self.mode != lost_in:
                writer.write(piece)
                await writer.drain()
                self._note(writer)

    def _note(self, writer: asyncio.StreamWriter) -> None:
        for link in self.links:
            if writer in link:
                self.spoke_at[link] = asyncio.get_running_loop().time()

    async def _until_idle(self, link: Link) -> None:
        while True:
            await asyncio.sleep(IDLE_LOOK_SECONDS)
            quiet = asyncio.get_running_loop().time() - self.spoke_at[link]
            if self.idle_seconds and quiet > self.idle_seconds:
                return

    def _kept_in(self, name: str) -> Path | None:
        return None if self.record is None else self.record / f"{self.target}-{name}"

    async def _thawed(self) -> None:
        while self.mode == "freeze":  # noqa: ASYNC110 an order ends it
            await asyncio.sleep(FROZEN_SECONDS)

    def _cut(self) -> None:
        self.cuts += len(self.links)
        for link in list(self.links):
            for writer in link:
                reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def close(link: Link) -> None:
    """Close both halves."""
    for writer in link:
        writer.close()


async def main() -> None:
    """Serve until the starter is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    wire = Wire(options.target, seed=options.seed, record=options.record)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", options.port)
    cutting = asyncio.create_task(wire.cut_at_random())
    announce(server.sockets[0].getsockname()[1])
    await follow(wire.obey)
    cutting.cancel()


if __name__ == "__main__":
    asyncio.run(main())

"""`python -m tests.support.links.commits --target SOCKET`: a wire to PostgreSQL that loses commits.

It follows the protocol just far enough to see a COMMIT go by. Orders are the shares (0 to 1) of
what becomes of one, decided by a seeded chance. The client sees the same each time: a connection
that broke after it had asked to commit.

| order | what happens |
| --- | --- |
| `lose_commit` | the server never hears of it and rolls back |
| `lose_answer` | the server has committed; its answer is thrown away |
| `lose_track` | the COMMIT is sent and both connections are cut at once: nobody knows |

`frozen` holds everything back without the end of any connection; `cut` resets all of them once.
The answer to an order is how often each has happened.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.support.links.orders import announce, follow
from tests.support.links.wire import FROZEN_SECONDS, PIECE_BYTES, close, reset

SHARES: Final = ("lose_commit", "lose_answer", "lose_track")
_COMMIT: Final = b"COMMIT\0"
_QUERY: Final = b"Q"
_LENGTH_BYTES: Final = 4


class Commits:
    """One listener in front of a server's socket."""

    def __init__(self, target: str, seed: int) -> None:
        """Lead to the socket file."""
        self.target = target
        self.frozen = False
        self.carried: set[Carried] = set()
        self.done: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._shares = dict.fromkeys(SHARES, 0.0)

    def obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take an order; unknown words are an error of the test."""
        for name, value in order.items():
            if name == "cut":
                for one in list(self.carried):
                    one.cut()
            elif name == "frozen":
                self.frozen = bool(value)
            elif name in self._shares:
                self._shares[name] = float(value)
            else:
                raise ValueError(name)
        return dict(self.done)

    def fate(self) -> str:
        """Decide what becomes of a COMMIT; empty: it is carried like everything else."""
        happening = ""
        for name in SHARES:
            if self._chance.random() < self._shares[name] and not happening:
                happening = name
        self.done[happening or "carried"] += 1
        return happening

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            server = await asyncio.open_unix_connection(self.target)
        except OSError:
            reset(writer)
            return
        one = Carried(self, (reader, writer), server)
        self.carried.add(one)
        try:
            await one.carry()
        finally:
            self.carried.discard(one)


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Carried:
    """One connection of a client and its other half."""

    def __init__(self, wire: Commits, client: End, server: End) -> None:
        """Belong to the wire."""
        self._wire = wire
        self._client = client
        self._server = server
        self._is_deaf = False

    async def carry(self) -> None:
        """Carry both ways until either ends, or a COMMIT is lost."""
        ways = [asyncio.create_task(way) for way in (self._queries(), self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            close((self._client[1], self._server[1]))

    def cut(self) -> None:
        """Reset both halves."""
        reset(self._client[1])
        reset(self._server[1])

    async def _queries(self) -> None:
        """Carry what the client says, message by message; the first of all has no type."""
        reader, writer = self._client[0], self._server[1]
        kind = b""
        while True:
            length = await reader.readexactly(_LENGTH_BYTES)
            body = await reader.readexactly(int.from_bytes(length, "big") - _LENGTH_BYTES)
            await self._thawed()
            commits = kind == _QUERY and body == _COMMIT
            fate = self._wire.fate() if commits else ""
            self._is_deaf = fate == "lose_answer"
            if fate == "lose_commit":
                return
            writer.write(kind + length + body)
            await writer.drain()
            if fate == "lose_track":
                return
            kind = await reader.readexactly(1)

    async def _answers(self) -> None:
        reader, writer = self._server[0], self._client[1]
        while piece := await reader.read(PIECE_BYTES):
            if self._is_deaf:
                return  # the answer says that the commit is done
            await self._thawed()
            writer.write(piece)
            await writer.drain()

    async def _thawed(self) -> None:
        while self._wire.frozen:  # noqa: ASYNC110 an order ends it
            await asyncio.sleep(FROZEN_SECONDS)


async def main() -> None:
    """Serve until the starter is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    commits = Commits(options.target, options.seed)
    server = await asyncio.start_server(commits.serve, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await follow(commits.obey)


if __name__ == "__main__":
    asyncio.run(main())

"""Forks edge-side processes that wait to be traced, then serve or adopt until they are killed.

Each line on standard input is a JSON object: an order for a child, or "go" for the one that waits.
Lines on standard output: `P <pid>`, then of the child `I <request id>` before a request begins,
`B ...` once it is accepted, `F ...` once it is finished, `D` when all went to its end, and `E` when
the child is gone.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from edge.metering.adoption import Adopter
from edge.metering.counters import Counters
from edge.metering.metering import Metering
from edge.metering.slot import Slot
from edge.metering.spool import Spool, SpoolLimits
from kit.log import EventLog
from kit.rpc.client import open_channel
from oneapi.admission.v1 import admission_service_pb2_grpc
from oneapi.metering.v1 import metering_service_pb2_grpc
from tests.chaos.spool.client import Client

LIMITS = SpoolLimits(max_bytes=2**18, segment_frames=8)
"""Segments of eight frames: a dozen requests fill several, which are made and forgotten."""


def say(kind: str, word: str = "") -> None:
    """Write one line at once: what was said before a kill was said."""
    os.write(1, f"{kind} {word}\n".encode())


class Child:
    """An edge-side process: its channel to core and its order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._channel = open_channel(order["target"], order["token"])
        self._metering = metering_service_pb2_grpc.MeteringServiceStub(self._channel)
        self._admission = admission_service_pb2_grpc.AdmissionServiceStub(self._channel)
        self._log = EventLog("victim", stream=io.StringIO())

    async def serve(self) -> None:
        """Serve a script of requests as a worker does, to the closing of its epoch."""
        metering = self._open()
        metering.start()
        client, spool = Client(metering.spool, self._order, say), metering.spool
        long = client.begin()
        for _ in range(3):
            await client.finish(client.begin())
        tickets = [client.begin() for _ in range(4)]
        await asyncio.gather(*(client.finish(ticket) for ticket in tickets[:3]))
        await self._shipped(spool)
        await client.finish(long)
        await client.finish(tickets[3])
        if self._order["role"] == "leave":
            for _ in range(3):
                client.begin()
            await client.finish(client.begin())
            return
        await metering.stop()

    def _open(self) -> Metering:
        data_dir = Path(self._order["data_dir"])
        slot = Slot.take(data_dir, 1)
        if slot is None:
            raise SystemExit(1)
        return Metering(
            slot,
            self._order["epoch"],
            data_dir=data_dir,
            metering=self._metering,
            admission=self._admission,
            log=self._log,
            limits=LIMITS,
        )

    async def _shipped(self, spool: Spool) -> None:
        """Wait until core has something, so that old segments are forgotten while we serve."""
        async with asyncio.timeout(20):
            while spool.acked < spool.durable:  # noqa: ASYNC110  told by the shipper
                await asyncio.sleep(0.005)

    async def adopt(self) -> None:
        """Adopt what is left in the folders named."""
        for folder in self._order["folders"]:
            slot = Slot.take(Path(folder), 2)
            if slot is None:
                raise SystemExit(1)
            adopter = Adopter(
                slot,
                Path(folder),
                self._metering,
                self._admission,
                counters=Counters(),
                log=self._log,
            )
            await adopter.adopt_all(live_epoch=0)
            slot.release()


async def act(order: dict[str, Any]) -> None:
    """Do what was ordered."""
    child = Child(order)
    await (child.adopt() if order["role"] == "adopt" else child.serve())


def fork(order: dict[str, Any]) -> tuple[int, int]:
    """Fork a child that waits for a byte; return its id and where the byte goes."""
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(wait, 1)
        asyncio.run(act(order))
        say("D")
        # As by kill -9: nothing is tidied up.
        os._exit(0)
    os.close(wait)
    return pid, go


def main() -> None:
    """One child after the other."""
    for line in sys.stdin:
        pid, go = fork(json.loads(line))
        say("P", str(pid))
        sys.stdin.readline()
        os.write(go, b"g")
        os.close(go)
        os.waitpid(pid, 0)
        say("E")


if __name__ == "__main__":
    main()

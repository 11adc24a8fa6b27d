"""Serves made-up requests through a real spool until somebody kills it, round after round.

Each line on standard input is an epoch: a child takes slot 1 and serves under that epoch. Lines on
standard output: `P <pid>`, `B <request id>` once a request is accepted, `F <request id>` once it is
finished, `E` when the child is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from edge.metering.slot import Slot
from edge.metering.spool import Spool, SpoolLimits
from tests.unit.edge.metering.samples import PRICE, DirectLine, an_intent, an_outcome

CALLERS = 8
LIMITS = SpoolLimits(max_bytes=2**22, segment_frames=64)


def say(kind: str, word: str = "") -> None:
    """Write one line at once: what was said before a kill was said."""
    os.write(1, f"{kind} {word}\n".encode())


async def call(spool: Spool) -> None:
    """Serve one request after another."""
    while True:
        intent = an_intent()
        ticket = spool.begin(intent, PRICE)
        say("B", intent.request_id.hex())
        spool.checkpoint(ticket, 10, 10)
        await asyncio.sleep(0.001)
        await spool.finish(ticket, an_outcome(intent))
        say("F", intent.request_id.hex())


async def serve(data_dir: Path, epoch: int) -> None:
    """Serve until killed; every acknowledged segment is forgotten as in real life."""
    slot = Slot.take(data_dir, 1)
    if slot is None:
        raise SystemExit(1)
    spool = Spool(slot.epoch_folder(epoch), 1, epoch, reporter=DirectLine(), limits=LIMITS)
    await asyncio.gather(*(call(spool) for _ in range(CALLERS)))


def main(data_dir: Path) -> None:
    """Fork a child for each epoch: it dies, this process does not."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(serve(data_dir, int(line)))
        say("P", str(pid))
        os.waitpid(pid, 0)
        say("E")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Run the replay upstream: `python -m tests.support.replay --port 0`; prints its port as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import uvloop

from tests.support.recordings import FIXTURES_FOLDER, RECORDINGS_FOLDER, load_folder
from tests.support.replay.library import Library
from tests.support.replay.upstream import ReplayUpstream


async def serve(port: int, library: Library) -> None:
    """Serve on loopback until a signal asks to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    upstream = ReplayUpstream(library)
    listening = await upstream.server.listen(port=port)
    address = listening.sockets[0].getsockname()
    sys.stdout.write(json.dumps({"port": address[1]}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    listening.close()
    upstream.server.close_connections()


def main() -> None:
    """Read the command line, load the recordings and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.replay", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS_FOLDER)
    parser.add_argument("--fixtures", type=Path, default=FIXTURES_FOLDER)
    options = parser.parse_args()
    # A folder that is absent counts as empty.
    library = Library([*load_folder(options.fixtures), *load_folder(options.recordings)])
    uvloop.run(serve(options.port, library))


if __name__ == "__main__":
    main()

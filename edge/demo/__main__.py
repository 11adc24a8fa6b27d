"""Run the demo provider: `python -m edge.demo --port N` or `--fd N` for an inherited socket.

The first line on standard output is `{"port": N}`, written once connections are accepted. SIGTERM
and SIGINT end the process with exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

import uvloop

from edge.demo.app import handle
from edge.demo.server import Server


async def serve(port: int | None, fd: int | None) -> None:
    """Serve on loopback until a signal asks to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(handle)
    listening = await server.listen(port=port or 0, fd=fd)
    address = listening.sockets[0].getsockname()
    sys.stdout.write(json.dumps({"port": address[1]}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    listening.close()
    server.close_connections()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m edge.demo", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="port on 127.0.0.1; 0 takes a free one")
    where.add_argument("--fd", type=int, help="number of an inherited listening socket")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.fd))


if __name__ == "__main__":
    main()

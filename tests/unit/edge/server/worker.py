"""A worker as a process of its own: `python worker.py FD GRACEFUL_SECONDS`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

from edge.server.run import serve


def _tell(word: str) -> None:
    os.write(1, word.encode() + b"\n")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once, or after `/slow`'s seconds; tell what happens on standard output."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        _tell("started")
        await receive()
        _tell("ended")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].startswith("/slow/"):
        _tell("entered")
        try:
            await asyncio.sleep(float(scope["path"].removeprefix("/slow/")))
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # the outcome is written
            _tell("recorded")
            raise
    body = (scope["client"] or ("",))[0].encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    serve(
        app,
        socket=socket.socket(fileno=int(sys.argv[1])),
        graceful_seconds=float(sys.argv[2]),
        trusted_proxies=sys.argv[3:],
    )
    _tell("done")

"""Orders to a running link: JSON lines on standard input, a JSON line of answer for each."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

MAX_ORDER_BYTES = 65_536


def announce(port: int) -> None:
    """Say where we listen, as the starter expects it."""
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


async def follow(obey: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Obey orders until the starter closes the pipe."""
    reader = asyncio.StreamReader(limit=MAX_ORDER_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        sys.stdout.write(json.dumps(obey(json.loads(line))) + "\n")
        sys.stdout.flush()

"""A process beside the drill's own that is told lines of JSON and answers each with one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Self

from tests.support.recordings import PROJECT

LINE_BYTES_MAX = 16 * 2**20
END_SECONDS = 5.0


class Lines:
    """The other process, from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take a process that runs; `Lines.start` makes it."""
        self._process = process

    @classmethod
    async def start(cls, module: str, **words: object) -> Self:
        """Run a module, and tell it first with what."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=PROJECT,
            limit=LINE_BYTES_MAX,
        )
        lines = cls(process)
        lines.tell(words)
        return lines

    def tell(self, what: object) -> None:
        """Tell it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def heard(self) -> Any:
        """Wait for its next answer."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "a process beside the drill has ended"
        return json.loads(line)

    async def stop(self) -> None:
        """Let it end once it has nothing to do, or end it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def told() -> AsyncIterator[Any]:
    """Yield, in the other process, what it is told, until nobody tells it anything any more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


def answer(what: object) -> None:
    """Answer, in the other process."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()

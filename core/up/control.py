"""How commands reach the supervisor: a Unix socket in the data directory, for its owner only.

One line of JSON asks, lines of JSON answer, the last one is `{"done": true}` or `{"error": …}`.
The file's mode (0600) is the whole of the access rule: whoever may signal our processes may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from kit.cli import CommandFailed, Exit

SOCKET_NAME: Final = "control.sock"
REQUEST_MAX_BYTES: Final = 4_096
REQUEST_SECONDS: Final = 5.0
CONVERSATIONS_MAX: Final = 8
_CONNECT_SECONDS: Final = 5.0

Rows = AsyncIterator[Mapping[str, Any]]
Handler = Callable[[Mapping[str, Any]], Rows]


async def serve_control(folder: Path, handle: Handler) -> None:
    """Answer commands until cancelled; conversations end with it."""
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(conversations) >= CONVERSATIONS_MAX:
            writer.close()
            return
        task = asyncio.ensure_future(_converse(reader, writer, handle))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    with _listening(folder) as listener:
        server = await asyncio.start_unix_server(accept, sock=listener, limit=REQUEST_MAX_BYTES)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)


def ask(folder: Path, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Ask the supervisor of a data directory and yield its rows.

    Raises:
        CommandFailed: nobody listens there, the supervisor refused, or it went away.
    """
    with _connected(folder) as connection, connection.makefile("rwb") as file:
        file.write(json.dumps(request).encode() + b"\n")
        file.flush()
        for line in file:
            row = json.loads(line)
            if "error" in row:
                error = row["error"]
                raise CommandFailed(
                    error["message"], code=Exit(error["code"]), reason=error["reason"]
                )
            if row.get("done"):
                return
            yield row
    raise CommandFailed(
        "The supervisor went away.", code=Exit.UNREACHABLE, reason="SUPERVISOR_GONE"
    )


def is_up(folder: Path) -> bool:
    """Say whether a supervisor listens there; a socket's file outlives one that was killed."""
    try:
        with _connected(folder):
            return True
    except CommandFailed:
        return False


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler
) -> None:
    with contextlib.suppress(OSError, ValueError, TimeoutError), contextlib.closing(writer):
        async with asyncio.timeout(REQUEST_SECONDS):
            request = json.loads(await reader.readline())
        async for row in _answer(request, handle):
            # A command that was interrupted stops listening, never the work that it asked for.
            with contextlib.suppress(OSError):
                writer.write(json.dumps(row).encode() + b"\n")
                await writer.drain()


async def _answer(request: Any, handle: Handler) -> Rows:
    try:
        async for row in handle(request if isinstance(request, dict) else {}):
            yield row
    except CommandFailed as failure:
        error = {
            "message": failure.format_message(),
            "code": failure.exit_code,
            "reason": failure.reason,
        }
        yield {"error": error}
    else:
        yield {"done": True}


@contextlib.contextmanager
def _listening(folder: Path) -> Iterator[socket.socket]:
    with contextlib.suppress(FileNotFoundError):
        (folder / SOCKET_NAME).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(folder) as path:
            # Whoever holds up.lock is alone here; the mode is set before anybody can connect.
            previous = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(previous)
        listener.listen(CONVERSATIONS_MAX)
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            (folder / SOCKET_NAME).unlink()


@contextlib.contextmanager
def _connected(folder: Path) -> Iterator[socket.socket]:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(_CONNECT_SECONDS)
        try:
            with _short_path(folder) as path:
                connection.connect(path)
        except OSError:
            raise CommandFailed(
                "No `1api up` runs on this data directory; set ONEAPI_DATA_DIR.",
                code=Exit.UNREACHABLE,
                reason="NOT_UP",
            ) from None
        connection.settimeout(None)
        yield connection


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """Name the socket by a descriptor of its folder: a socket's path has 107 bytes at most."""
    if sys.platform != "linux":
        yield str(folder / SOCKET_NAME)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)

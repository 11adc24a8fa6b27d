"""`python -m tests.bench.upstream PORT`: an upstream that costs almost nothing.

A canned whole answer, or a canned stream of 64 chunks of content, each its own HTTP chunk.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

import uvloop

CHUNKS: Final = 64
_BASE: Final = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench"}


def _frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    document = json.dumps({**_BASE, "choices": [choice]}, separators=(",", ":"))
    return b"data: " + document.encode() + b"\n\n"


def _stream() -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 9}
    last = json.dumps({**_BASE, "choices": [], "usage": usage}, separators=(",", ":"))
    frames = [_frame({"content": f"word{number:02d} "}) for number in range(CHUNKS)]
    frames += [_frame({}, "stop"), b"data: " + last.encode() + b"\n\n", b"data: [DONE]\n\n"]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in frames) + b"0\r\n\r\n"


def _whole() -> bytes:
    message = {"role": "assistant", "content": "hello there", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    document = {**_BASE, "object": "chat.completion", "choices": [choice], "usage": usage}
    body = json.dumps(document, separators=(",", ":")).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


STREAM: Final = _stream()
WHOLE: Final = _whole()


class Canned(asyncio.Protocol):
    """Answers each request without parsing more of it than its length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
            whole = end + 4 + length
            if len(self._received) < whole:
                return
            body = self._received[end + 4 : whole]
            self._received = self._received[whole:]
            self._transport.write(STREAM if b'"stream":true' in body else WHOLE)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))

"""`python -m tests.leaktest.upstream MARK`: a provider whose every answer is full of canaries.

The model's name says how it behaves: `mode/<name>` of MODES. It repeats the request where providers
do so in errors, and puts canaries of its own into contents, headers, trailers, events, chunk sizes
and status lines.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import itertools
import json
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.leaktest import demands, media, text_answers
from tests.leaktest.answer_fields import FIELDS
from tests.leaktest.canaries import CANARIES_MAX, Kind

BODY_BYTES_MAX = 64 * 1024 * 1024
STALL_SECONDS = 30.0
UNIQUE_FROM = 1_000
"""Numbers from here on are of contents, one for each answer."""


@dataclass
class Answer:
    """One request and where its answer goes."""

    head: bytes
    body: bytes
    stream: bool
    writer: asyncio.StreamWriter
    kind: Kind
    unique: Iterator[int]

    def canary(self, name: str) -> str:
        """Return the canary of a field of answers."""
        return self.kind.canary(FIELDS.index(name))

    def content(self) -> str:
        """Return a content that no other answer has."""
        return self.kind.canary(next(self.unique))

    def headers(self, **more: str) -> list[str]:
        """Return headers as providers send them, canaries in each."""
        named = {
            "x-request-id": self.canary("header"),
            "openai-organization": self.canary("header"),
            f"x-{self.canary('header.name').lower()}": "1",
            "set-cookie": f"session={self.canary('header')}",
            "retry-after": self.canary("header"),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return [f"{name}: {value}" for name, value in named.items()]

    def start(self, status: str = "200 OK", **headers: str) -> None:
        """Write a head; the body follows in chunks unless a length is given."""
        if "content_length" not in headers:
            headers["transfer_encoding"] = "chunked"
        lines = [f"HTTP/1.1 {status}", *self.headers(**headers)]
        self.writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        """Write a chunk."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self, trailer: str = "") -> None:
        """End a chunked body, perhaps with a trailer."""
        self.writer.write(b"0\r\n" + trailer.encode() + b"\r\n")

    def whole(self, status: str, body: bytes, content_type: str, **headers: str) -> None:
        """Write an answer whole."""
        given = {"content_type": content_type, "content_length": str(len(body)), **headers}
        self.start(status, **given)
        self.writer.write(body)

    def document(self) -> dict[str, Any]:
        """Return a whole answer with a canary in every place."""
        call = {
            "id": self.canary("tool.id"),
            "type": "function",
            "function": {
                "name": self.canary("tool.name"),
                "arguments": json.dumps({"text": self.canary("tool.arguments")}),
            },
        }
        message = {
            "role": self.canary("role"),
            "content": self.content(),
            "reasoning_content": self.canary("reasoning"),
            "refusal": self.canary("refusal"),
            "annotations": [{"text": self.canary("annotation")}],
            "tool_calls": [call],
        }
        logprobs = {"content": [{"token": self.canary("logprobs"), "logprob": -1}]}
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
        return {**self.frame_head("chat.completion"), "choices": [choice], "usage": self.usage()}

    def frame_head(self, kind: str) -> dict[str, Any]:
        """Return what whole answers and chunks begin with."""
        return {
            "id": self.canary("id"),
            "object": kind,
            "created": 1,
            "model": self.canary("model"),
            "system_fingerprint": self.canary("fingerprint"),
            "service_tier": self.canary("service.tier"),
        }

    def usage(self) -> dict[str, Any]:
        """Return usage, with a key that nobody knows."""
        counts = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return {**counts, self.canary("usage.key"): self.canary("usage.key")}

    def event(self, delta: dict[str, Any] | None, finish: str | None = None) -> bytes:
        """Return a chunk of a stream; without a delta, the one with the usage."""
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        document = {**self.frame_head("chat.completion.chunk"), "choices": choices}
        if delta is None:
            document["usage"] = self.usage()
        return b"data: " + json.dumps(document).encode() + b"\n\n"

    def opening(self) -> list[bytes]:
        """Return the first events of a stream: names, ids and comments among them."""
        call = {"index": 0, "id": self.canary("tool.id"), "type": "function"}
        function = {"name": self.canary("tool.name"), "arguments": self.canary("tool.arguments")}
        named = f"event: {self.canary('event')}\nid: {self.canary('event.id')}\n".encode()
        return [
            f": {self.canary('comment')}\n\n".encode(),
            named + self.event({"role": "assistant", "content": self.content()}),
            self.event({"reasoning_content": self.canary("reasoning")}),
            self.event({"tool_calls": [{**call, "function": function}]}),
            self.event({"content": self.canary("content")}),
            self.event({"content": self.canary("content")}),
        ]

    def error(self, echo: bytes = b"") -> bytes:
        """Return an error document that may repeat the request."""
        message = self.canary("error.message") + echo.decode("latin-1")
        error = {
            "message": message,
            "type": self.canary("error.type"),
            "param": self.canary("error.code"),
            "code": self.canary("error.code"),
        }
        return json.dumps({"error": error}).encode()

    def reset(self) -> None:
        """Close with RST."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Mode = Callable[[Answer], Awaitable[None]]
MODES: dict[str, Mode] = {"media-ok": media.media_ok, "text-ok": text_answers.text_ok}


def mode(function: Mode) -> Mode:
    """Enter a function among the modes under its name."""
    MODES[function.__name__.strip("_").replace("_", "-")] = function
    return function


async def _begin(answer: Answer) -> None:
    answer.start(content_type="text/event-stream")
    for event in answer.opening():
        answer.chunk(event)
        await asyncio.sleep(0)


@mode
async def ok(answer: Answer) -> None:
    """Answer well."""
    if not answer.stream:
        answer.whole("200 OK", json.dumps(answer.document()).encode(), "application/json")
        return
    await _begin(answer)
    answer.chunk(answer.event({}, "stop"))
    answer.chunk(answer.event(None))
    answer.chunk(b"data: [DONE]\n\n")
    answer.end()


@mode
async def slow(answer: Answer) -> None:
    """Answer well, in pieces with pauses, so that clients can leave in between."""
    if not answer.stream:
        await asyncio.sleep(0.1)
        await ok(answer)
        return
    answer.start(content_type="text/event-stream")
    for event in answer.opening():
        answer.chunk(event)
        await asyncio.sleep(0.03)
    answer.chunk(answer.event({}, "stop"))
    answer.chunk(answer.event(None) + b"data: [DONE]\n\n")
    answer.end()


@mode
async def endless(answer: Answer) -> None:
    """Stream until somebody ends it."""
    await _begin(answer)
    for _ in range(1_000):
        if answer.writer.is_closing():
            return
        answer.chunk(answer.event({"content": answer.content()}))
        await asyncio.sleep(0.02)


def _refusal(status: str, *, echo: bool) -> Mode:
    async def refuse(answer: Answer) -> None:
        body = answer.error(answer.head + answer.body if echo else b"")
        answer.whole(status, body, "application/json")

    return refuse


for _name, _status in {
    "400": "400 Bad Request",
    "401": "401 Unauthorized",
    "402": "402 Payment Required",
    "403": "403 Forbidden",
    "404": "404 Not Found",
    "413": "413 Payload Too Large",
    "422": "422 Unprocessable Content",
    "429": "429 Too Many Requests",
    "500": "500 Internal Server Error",
    "503": "503 Service Unavailable",
}.items():
    MODES[f"echo-{_name}"] = _refusal(_status, echo=True)


@mode
async def echo_text(answer: Answer) -> None:
    """Refuse with the request as plain text."""
    answer.whole("400 Bad Request", answer.head + answer.body, "text/plain")


@mode
async def html_500(answer: Answer) -> None:
    """Fail with a page."""
    page = f"<html>{answer.canary('html')}<pre>{answer.body.decode('latin-1')}</pre></html>"
    answer.whole("500 Internal Server Error", page.encode(), "text/html")


@mode
async def html_200(answer: Answer) -> None:
    """Succeed with a page."""
    answer.whole("200 OK", f"<html>{answer.canary('html')}</html>".encode(), "text/html")


@mode
async def redirect(answer: Answer) -> None:
    """Send elsewhere."""
    answer.whole("307 Moved", b"", "text/plain", location=f"http://x/{answer.canary('location')}")


@mode
async def silent(answer: Answer) -> None:
    """Never answer."""
    del answer
    await asyncio.sleep(STALL_SECONDS)


@mode
async def stall(answer: Answer) -> None:
    """Begin and say no more."""
    await _begin(answer)
    await asyncio.sleep(STALL_SECONDS)


@mode
async def reset(answer: Answer) -> None:
    """Reset before a byte."""
    answer.reset()


@mode
async def reset_midway(answer: Answer) -> None:
    """Reset in the body."""
    await _begin(answer)
    await answer.writer.drain()
    await asyncio.sleep(0.02)
    answer.reset()


@mode
async def cut_midway(answer: Answer) -> None:
    """End the connection in the body."""
    await _begin(answer)
    answer.writer.close()


@mode
async def bad_chunk(answer: Answer) -> None:
    """Write content where a chunk's size belongs."""
    await _begin(answer)
    answer.writer.write(answer.canary("chunk.size").encode() + b"\r\nx\r\n")
    await answer.writer.drain()
    await asyncio.sleep(0.05)
    answer.writer.close()


@mode
async def bad_status(answer: Answer) -> None:
    """Write content where the status belongs."""
    answer.writer.write(f"HTTP/1.1 {answer.canary('status.line')}\r\n\r\n".encode())
    answer.writer.close()


@mode
async def no_http(answer: Answer) -> None:
    """Write content instead of HTTP."""
    answer.writer.write(answer.canary("status.line").encode() * 3 + b"\r\n\r\n")
    answer.writer.close()


@mode
async def bad_header(answer: Answer) -> None:
    """Write a header that is none."""
    line = answer.canary("header").encode()
    answer.writer.write(b"HTTP/1.1 200 OK\r\n" + line + b"\x00\x01 " + line + b"\r\n\r\n")
    answer.writer.close()


@mode
async def many_headers(answer: Answer) -> None:
    """Write more headers than anybody takes."""
    line = f"x-{answer.canary('header')}: {answer.canary('header') * 40}\r\n".encode()
    answer.writer.write(b"HTTP/1.1 200 OK\r\n" + line * 400 + b"\r\n")
    answer.writer.close()


@mode
async def bad_length(answer: Answer) -> None:
    """Promise more than comes."""
    body = json.dumps(answer.document()).encode()
    answer.start(content_type="application/json", content_length=str(len(body) + 100))
    answer.writer.write(body)
    await answer.writer.drain()
    answer.writer.close()


@mode
async def bad_json(answer: Answer) -> None:
    """Answer with broken JSON and invalid UTF-8."""
    broken = b'{"choices":[{"delta":{"content":"' + answer.content().encode() + b"\xff\xfe"
    if answer.stream:
        await _begin(answer)
        answer.chunk(b"data: " + broken + b"\n\n")
        answer.end()
    else:
        answer.whole("200 OK", broken, "application/json")


@mode
async def error_event(answer: Answer) -> None:
    """Report an error inside the stream, the request repeated in it."""
    await _begin(answer)
    answer.chunk(b"data: " + answer.error(answer.head + answer.body) + b"\n\n")
    answer.end()


@mode
async def trailers(answer: Answer) -> None:
    """Answer well, with trailers."""
    await _begin(answer)
    answer.chunk(answer.event({}, "stop") + answer.event(None) + b"data: [DONE]\n\n")
    answer.end(f"x-checksum: {answer.canary('trailer')}\r\n")


@mode
async def odd_values(answer: Answer) -> None:
    """Put texts where numbers and known words belong."""
    word = answer.canary("finish")
    odd = {"prompt_tokens": word, "completion_tokens": -5, "total_tokens": word}
    document = {**answer.document(), "usage": odd}
    document["choices"][0]["finish_reason"] = word
    if not answer.stream:
        answer.whole("200 OK", json.dumps(document).encode(), "application/json")
        return
    await _begin(answer)
    answer.chunk(answer.event({}, word))
    last = {**answer.frame_head(word), "choices": [], "usage": odd}
    answer.chunk(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
    answer.end()


@mode
async def huge(answer: Answer) -> None:
    """Answer with more than we take."""
    text = (answer.content() * 40_000).encode()
    if answer.stream:
        await _begin(answer)
        answer.chunk(b'data: {"choices":[{"delta":{"content":"' + text + b'"}}]}\n\n')
        answer.end()
    else:
        body = b'{"choices":[{"message":{"content":"' + text + b'"}}]}'
        answer.whole("200 OK", body, "application/json")


@mode
async def encoded(answer: Answer) -> None:
    """Compress though nobody asked for it."""
    body = gzip.compress(json.dumps(answer.document()).encode())
    answer.whole("200 OK", body, "application/json", content_encoding="gzip")


@mode
async def early_hints(answer: Answer) -> None:
    """Send an informational answer first."""
    link = answer.canary("header")
    answer.writer.write(f"HTTP/1.1 103 {link}\r\nlink: {link}\r\n\r\n".encode())
    await ok(answer)


def _asked(head: bytes, body: bytes) -> tuple[str, bool]:
    path = head.split(b" ", 2)[1]
    model = text_answers.model_in(path)
    return media.asked(body) if model is None else (model, b":stream" in path)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind, unique: Iterator[int]
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            if demands.NEVER_FORWARDED.encode() in head + body:
                writer.write(
                    b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % demands.FORWARDED_ANYHOW
                )
                continue
            model, stream = _asked(head, body)
            behave = MODES[model.removeprefix("mode/")]
            await behave(Answer(head, body, stream, writer, kind, unique))
            await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mark")
    kind = Kind("answer", parser.parse_args().mark)
    logging.disable()
    unique = itertools.cycle(range(UNIQUE_FROM, CANARIES_MAX))
    server = await asyncio.start_server(
        lambda reader, writer: _serve(reader, writer, kind, unique),
        "127.0.0.1",
        0,
        limit=BODY_BYTES_MAX,
    )
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""Hostile and broken upstreams as data: what they answer, and what the client is told.

`faults` are orders to the replay upstream (`tests.support.replay.faults`). A row applies to a whole
answer, to a stream, or to both. Before the first byte the client gets a status; after it, an error
in-band and a connection that ends without a clean end.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FRAME_BYTES_MAX: Final = 1 << 20
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
ERROR_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class BadUpstream:
    """What an upstream does, and what the client is told: status and code, or a code in-band."""

    name: str
    faults: Mapping[str, Any]
    status: int
    code: str
    whole: bool = True
    stream: bool = True


def _raw(name: str, answer: str, repeat: str = "", **more: Any) -> BadUpstream:
    faults = {"raw_answer": answer, **({"raw_repeat": repeat} if repeat else {})}
    told = {"status": 502, "code": "upstream_failed", **more}
    return BadUpstream(name, faults, **told)


def _head(name: str, *lines: str, **more: Any) -> BadUpstream:
    return _raw(name, "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]) + "{}", **more)


def _body(name: str, body: str, **more: Any) -> BadUpstream:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    return _raw(name, head + body, **{"stream": False, **more})


def _events(name: str, events: str, repeat: str = "", **more: Any) -> BadUpstream:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    told = {"status": 200, "whole": False, **more}
    return _raw(name, head + events, repeat, **told)


def _refusal(name: str, status: int, body: str, code: str) -> BadUpstream:
    head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n"
    return _raw(name, head + body, status=status, code=code)


_BOMB = zlib.compressobj(9, wbits=31)
_BOMB_BYTES = (_BOMB.compress(bytes(64 * 1024 * 1024)) + _BOMB.flush()).decode("latin-1")
_OK: Final = "HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = _OK + "Transfer-Encoding: chunked\r\n\r\n"
_DELTA: Final = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'

HEADS: Final = (
    _raw("no-http", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    _raw("noise", "".join(map(chr, range(128, 256))) * 64),
    _raw("zeros", "\0" * 4_096),
    _raw("bad-version", "HTTP/9.9 200 OK\r\n\r\n"),
    _raw("status-in-words", "HTTP/1.1 fine\r\n\r\n"),
    _raw("status-of-two-digits", "HTTP/1.1 20\r\n\r\n"),
    _raw("status-of-four-digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    _raw("negative-status", "HTTP/1.1 -200 OK\r\n\r\n"),
    _raw("status-999", "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
    _raw("bare-lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
    _raw("switching-protocols", "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    _raw("nothing-but-100", "HTTP/1.1 100 Continue\r\n\r\n"),
    _raw("storm-of-100", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
    _raw(
        "storm-of-103", "HTTP/1.1 103 Hint\r\nLink: a\r\n\r\n", "HTTP/1.1 103 Hint\r\nL: a\r\n\r\n"
    ),
    _raw("endless-header", f"{_OK}X: ", "y"),
    _raw("endless-headers", _OK, "X: y\r\n"),
    _raw("endless-status-line", "HTTP/1.1 200 ", "O"),
    _head("header-of-100-kB", "X: " + "y" * 100_000),
    _head("1,000-headers", *["X: y"] * 1_000),
    _head("nul-in-header", "X: a\0b"),
    _head("folded-header", "X: a", " b"),
    _head("negative-length", "Content-Length: -2"),
    _head("two-lengths", "Content-Length: 2", "Content-Length: 3"),
    _head("length-and-coding", "Content-Length: 2", "Transfer-Encoding: chunked"),
    _head("gzip-coding", "Transfer-Encoding: gzip"),
    _head("two-codings", "Transfer-Encoding: gzip, chunked"),
    _head("redirect-in-a-200", "Content-Encoding: br"),
    _raw(
        "redirect", "HTTP/1.1 302 Found\r\nLocation: http://[::1]:1/\r\nContent-Length: 0\r\n\r\n"
    ),
    _raw("no-content", "HTTP/1.1 204 No Content\r\n\r\n"),
    _raw("reset-content", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"),
    _raw("partial-content", "HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\n{}"),
    _raw(
        "gzip-bomb",
        f"{_OK}Content-Encoding: gzip\r\nContent-Length: {len(_BOMB_BYTES)}\r\n\r\n{_BOMB_BYTES}",
    ),
)
"""Answers that are none: the next candidate is asked, and after the last the client is told."""

REFUSALS: Final = (
    _refusal("refusal-without-json", 400, "<html>", "upstream_refused"),
    _refusal(
        "refusal-of-wrong-types", 400, '{"error":{"message":[],"code":5}}', "upstream_refused"
    ),
    _refusal("refusal-as-a-list", 422, "[1]", "upstream_refused"),
    _refusal("refusal-as-a-number", 404, '{"error":1}', "upstream_refused"),
    _refusal("refusal-with-a-depth-bomb", 400, "[" * 60_000, "upstream_refused"),
    _refusal("refusal-of-200-kB", 400, '{"error":{"message":"' + "m" * 200_000, "upstream_refused"),
    _refusal("refusal-with-line-ends", 400, '{"error":{"code":"a\\r\\nX: y"}}', "a\r\nX: y"),
    _refusal("refusal-in-bytes", 400, '{"error":{"code":"\xff"}}', "upstream_refused"),
)

WHOLE: Final = (
    _body("empty-body", ""),
    _body("no-json", "<html>Sorry</html>"),
    _body("half-json", '{"choices":['),
    _body("list", "[]"),
    _body("string", '"yes"'),
    _body("null", "null"),
    _body("depth-bomb", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    _body("invalid-utf-8", '{"id":"\xff"}'),
    _raw(
        "shorter-than-said",
        f"{_OK}Content-Length: 100\r\n\r\n{{}}",
        stream=False,
        code="upstream_cut",
    ),
    _raw("bad-chunk", f"{_CHUNKED}zz\r\n{{}}\r\n0\r\n\r\n", stream=False),
    _raw("endless-chunk-extension", f"{_CHUNKED}2;", "x", stream=False),
    _raw("endless-body", f"{_OK}\r\n{{", " ", stream=False),
    _raw("endless-chunks", _CHUNKED, "400\r\n" + " " * 1_024 + "\r\n", stream=False),
)

STREAMS: Final = (
    _events("no-event", "", code="upstream_cut"),
    _events("html", "<html>Sorry</html>", code="upstream_cut"),
    _events("json-instead", '{"error":{"message":"no"}}', code="upstream_cut"),
    _events("event-of-no-json", "data: sorry\n\n"),
    _events("event-of-a-list", "data: []\n\n"),
    _events("depth-bomb", "data: " + "[" * 100_000 + "\n\n"),
    _events("invalid-utf-8", 'data: {"id":"\xff"}\n\n'),
    _events("endless-line", "data: ", "x"),
    _events("endless-field", "", "x"),
    _events("endless-lines-of-one-event", "", "data: {\n"),
    _events("no-choice-ever", "data: {}\n\n", code="upstream_cut"),
    _events("choices-of-wrong-types", 'data: {"choices":{"a":1}}\n\n', code="upstream_cut"),
    _events("choice-of-wrong-types", 'data: {"choices":[1,null,"a",[]]}\n\n', code="upstream_cut"),
    _events("negative-index", 'data: {"choices":[{"index":-9}]}\n\n', code="upstream_cut"),
    _events("index-of-2^70", f'data: {{"choices":[{{"index":{2**70}}}]}}\n\n', code="upstream_cut"),
    _events("error-of-wrong-type", 'data: {"error":[1]}\n\n', code="upstream_stream_error"),
    _events("error-as-text", 'data: {"error":"no"}\n\n', code="upstream_stream_error"),
    _events("delta-without-end", _DELTA, code="upstream_cut"),
)
"""Streams that go wrong after a good head; a body without framing has no proper end."""

BAD_UPSTREAMS: Final = (*HEADS, *REFUSALS, *WHOLE, *STREAMS)

_HUGE: Final = (2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**64, 10**300)
BAD_USAGES: Final = (
    "null",
    "[]",
    "1",
    '"many"',
    "true",
    "{}",
    '{"prompt_tokens":-1,"completion_tokens":5}',
    '{"prompt_tokens":5,"completion_tokens":-1}',
    '{"prompt_tokens":5}',
    '{"completion_tokens":5}',
    '{"prompt_tokens":"5","completion_tokens":"5"}',
    '{"prompt_tokens":5.5,"completion_tokens":5}',
    '{"prompt_tokens":5.0,"completion_tokens":5}',
    '{"prompt_tokens":true,"completion_tokens":5}',
    '{"prompt_tokens":[5],"completion_tokens":{"a":5}}',
    '{"prompt_tokens":5,"completion_tokens":5,"total_tokens":9}',
    '{"prompt_tokens":5,"completion_tokens":5,"total_tokens":-10}',
    '{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":[]}',
    '{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}',
    '{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":-6}}',
    '{"prompt_tokens":5,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":-1}}',
    '{"prompt_tokens":5,"completion_tokens":5,"completion_tokens_details":{"audio_tokens":9}}',
    *(f'{{"prompt_tokens":{number},"completion_tokens":1}}' for number in _HUGE),
    *(f'{{"prompt_tokens":1,"completion_tokens":{number}}}' for number in _HUGE),
)
"""Usage objects that cannot be true: none may be charged as it stands."""

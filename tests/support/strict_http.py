"""A second reader of HTTP/1.x, written from RFC 9112 alone: what it doubts, nobody may serve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Several spaces between the words may be taken for one (RFC 9112, 3).
_REQUEST_LINE: Final = re.compile(rb"[A-Z-]+ +(/[!-~]*) +HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~\x80-\xff]*)?")


class Doubt(Exception):
    """Another reader could understand it differently."""


def targets(wire: bytes) -> Iterator[bytes]:
    """Yield the targets of the requests in a byte stream, up to the first doubt or the end."""
    # A server should ignore empty lines before a request line (RFC 9112, 2.2).
    while wire := wire.lstrip(b"\r\n"):
        try:
            target, wire = _request(wire)
        except Doubt:
            return
        yield target


def _request(wire: bytes) -> tuple[bytes, bytes]:
    head, end, rest = wire.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if not end or line is None:
        raise Doubt
    headers = [_HEADER.fullmatch(one) for one in lines]
    pairs = [(one.group(1).lower(), one.group(2)) for one in headers if one is not None]
    names = [name for name, _ in pairs]
    is_old = line.group(2) == b"0"
    if None in headers or names.count(b"host") not in ({0, 1} if is_old else {1}):
        raise Doubt
    if is_old and b"transfer-encoding" in names:
        raise Doubt
    framings = [pair for pair in pairs if pair[0] in {b"content-length", b"transfer-encoding"}]
    return line.group(1), _behind_the_body(framings, rest)


def _behind_the_body(framings: list[tuple[bytes, bytes]], rest: bytes) -> bytes:
    if len(framings) > 1:
        raise Doubt
    if not framings:
        return rest
    name, value = framings[0]
    if name == b"transfer-encoding":
        if value.lower() != b"chunked":
            raise Doubt
        return _behind_the_chunks(rest)
    if not value.isdigit() or len(value) > 15 or int(value) > len(rest):
        raise Doubt
    return rest[int(value) :]


def _behind_the_chunks(rest: bytes) -> bytes:
    while True:
        line, end, rest = rest.partition(b"\r\n")
        found = _SIZE.fullmatch(line)
        if not end or found is None:
            raise Doubt
        size = int(found.group(1), 16)
        if size == 0:
            break
        if rest[size : size + 2] != b"\r\n":
            raise Doubt
        rest = rest[size + 2 :]
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if end and not line:
            return rest
        if not end or _HEADER.fullmatch(line) is None:
            raise Doubt

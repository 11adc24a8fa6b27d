"""What a request's head must look like: pure rules, on top of the parser's own strictness.

The parser already refuses bare line ends, folded lines, control characters, two framings at once
and broken chunk sizes. What it lets pass, and what proxies and applications are known to read in
different ways, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from edge.server.refusal import Refusal, bad_request

Headers = Iterable[tuple[bytes, bytes]]

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DOT_SEGMENTS: Final = frozenset({b".", b".."})
_ENCODED_SLASH = re.compile("%2[Ff]")
# More, even if they are zeros, overflow in other readers, which then frame the request differently.
_LENGTH_DIGITS: Final = 15
_UPGRADE_TOKENS: Final = frozenset({b"upgrade", b"http2-settings"})

_VERSION = bad_request("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
_FORM = bad_request("The request target must be a path.")
_PATH = bad_request(
    "The path of the request must be plain: no dot segments, no control characters."
)
_NO_HOST = bad_request("The request has no Host header.")
_TWO_HOSTS = bad_request("The request has more than one Host header.")
_BAD_HOST = bad_request("The Host header is not a host name.")
_LENGTHS = bad_request("The request has more than one Content-Length.")
_LONG_LENGTH = bad_request("The Content-Length is written with too many digits.")
_CODING = bad_request("The only transfer coding accepted is chunked, in HTTP/1.1.")
_FRAMINGS = bad_request("The request has both a Content-Length and a Transfer-Encoding.")


def refuse_head(version: str, target: bytes, headers: Headers) -> Refusal | None:
    """Return why the head of a request is refused, or None if it is fine."""
    if version not in _VERSIONS:
        return _VERSION
    return _refuse_target(target) or _refuse_headers(version, headers)


def _refuse_target(target: bytes) -> Refusal | None:
    if not target.startswith(b"/") or b"#" in target:
        return _FORM
    path = target.partition(b"?")[0]
    if b"%" in path:
        path = unquote_to_bytes(path)
        if _CONTROL.search(path) is not None:
            return _PATH
    if b"/." in path or b"\\" in path:
        segments = path.replace(b"\\", b"/").split(b"/")
        if not _DOT_SEGMENTS.isdisjoint(segments):
            return _PATH
    return None


def _refuse_headers(version: str, headers: Headers) -> Refusal | None:
    hosts = lengths = codings = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if _HOST.fullmatch(value) is None:
                return _BAD_HOST
        elif name == b"content-length":
            lengths += 1
            if len(value) > _LENGTH_DIGITS:
                return _LONG_LENGTH
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked" or version != "1.1":
                return _CODING
    if hosts != 1:
        return _TWO_HOSTS if hosts else (_NO_HOST if version == "1.1" else None)
    if lengths > 1 or codings > 1:
        return _LENGTHS if lengths > 1 else _CODING
    return _FRAMINGS if lengths and codings else None


def path_of(raw_path: str) -> str:
    """Return a path decoded once; an encoded slash stays, as it separates nothing (RFC 3986, 2.2).

    Who decodes it would route to what a proxy in front, which does not, has not checked.
    """
    return "%2F".join(map(unquote, _ENCODED_SLASH.split(raw_path)))


def without_upgrade(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Return the head of a request again, without its wish for another protocol.

    A server may ignore an Upgrade (RFC 9110, 7.8); the parser cannot, and would lose the body of a
    POST. Java's own client offers HTTP/2 this way on every plain connection.
    """
    lines = [b"%s %s HTTP/1.1" % (method, target)]
    for name, value in headers:
        if name in {b"upgrade", b"http2-settings"}:
            continue
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            kept = [token for token in tokens if token.lower() not in _UPGRADE_TOKENS]
            if not kept:
                continue
            lines.append(b"connection: " + b", ".join(kept))
        else:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join([*lines, b"", b""])

"""What goes to an upstream: its origin, a request, its deadlines, and the limits of the client."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from edge.upstream.errors import RequestInvalid

Header = tuple[bytes, bytes]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_METHOD = re.compile(rb"[A-Z]{3,20}")
# The client frames requests itself; a caller's own framing could disagree with the body.
_OWN_HEADERS: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"}
)
_METHODS_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The deadlines of one exchange, in seconds.

    `connect_seconds` covers the wait for a free connection, name look-up, TCP and TLS;
    `first_byte_seconds` runs from the request being sent whole to complete response headers;
    `idle_seconds` is the longest silence between two reads of the body, and between two writes of
    a request that the upstream takes slowly.
    """

    connect_seconds: float
    first_byte_seconds: float
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the client; connections, waiters and idle time count per origin."""

    max_connections: int = 512
    max_waiters: int = 1024
    keep_idle_seconds: float = 30.0
    max_header_count: int = 128
    max_header_bytes: int = 64 * 1024
    # A slow consumer holds at most this plus one read (READ_BYTES) of an answer in memory.
    buffer_high_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is: requests never leave it, whatever an answer says.

    `base_path` begins with a slash and ends without one, or is empty.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    base_path: bytes = b""
    authority: bytes = field(init=False, compare=False)
    key: tuple[str, str, int] = field(init=False, compare=False, repr=False)
    """What origins that share connections have in common."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != _DEFAULT_PORTS[self.scheme]:
            host = f"{host}:{self.port}"
        object.__setattr__(self, "authority", host.encode("ascii"))
        object.__setattr__(self, "key", (self.scheme, self.host, self.port))

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Read a base URL such as `https://api.example.com/v1`.

        Raises:
            ValueError: not http(s), no host, or with user, query or fragment.
        """
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError("a base URL is http(s)://host[:port][/path]")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("a base URL has no user, query or fragment")
        base_path = parts.path.rstrip("/").encode("ascii")
        if base_path and _TARGET.fullmatch(base_path) is None:
            raise ValueError("a base URL's path is printable ASCII")
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        host = parts.hostname.encode("idna" if ":" not in parts.hostname else "ascii")
        return cls(scheme, host.decode("ascii"), parts.port or _DEFAULT_PORTS[scheme], base_path)

    def target(self, path: bytes) -> bytes:
        """Return the request target of a path below the base path: `/v1` + `/models`."""
        return self.base_path + path


# Made for each request: not frozen, which would double the time of making it.
@dataclass(slots=True)
class UpstreamRequest:
    """One request. `target` is sent as it stands (see `Origin.target`); it holds no content.

    The client adds `host`, `content-length` and, unless given, `accept-encoding: identity`.
    `start` is what an `Endpoint` has encoded of it already.
    """

    origin: Origin
    method: bytes
    target: bytes
    headers: tuple[Header, ...] = field(repr=False)
    body: bytes = field(repr=False)
    timeouts: Timeouts
    start: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class Endpoint:
    """Where requests that differ in their bodies only are posted: checked and encoded once.

    Raises:
        RequestInvalid: as `encode_head`.
    """

    origin: Origin
    target: bytes
    headers: tuple[Header, ...] = field(repr=False)
    start: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Encode everything but the length of the body."""
        request = UpstreamRequest(
            self.origin, b"POST", self.target, self.headers, b"", Timeouts(0, 0, 0)
        )
        self.start = encode_head(request).removesuffix(b"0\r\n\r\n")

    def request(self, body: bytes, timeouts: Timeouts) -> UpstreamRequest:
        """Return the request with this body."""
        return UpstreamRequest(
            self.origin, b"POST", self.target, self.headers, body, timeouts, self.start
        )


def encode_head(request: UpstreamRequest) -> bytes:
    """Return the request line and headers, up to and including the empty line.

    Raises:
        RequestInvalid: a part would break the framing, or sets a header that the client owns.
    """
    if request.start:
        return b"%b%d\r\n\r\n" % (request.start, len(request.body))
    if _METHOD.fullmatch(request.method) is None or _TARGET.fullmatch(request.target) is None:
        raise RequestInvalid
    lines = [
        request.method + b" " + request.target + b" HTTP/1.1",
        b"host: " + request.origin.authority,
    ]
    encoding_given = False
    for name, value in request.headers:
        lower = name.lower()
        if lower in _OWN_HEADERS:
            raise RequestInvalid
        encoding_given = encoding_given or lower == b"accept-encoding"
        lines.append(name + b": " + value)
    if not encoding_given:
        lines.append(b"accept-encoding: identity")
    if request.body or request.method in _METHODS_WITH_BODY:
        lines.append(b"content-length: %d" % len(request.body))
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # One count over the whole head instead of a look at every value: a smuggled line end shows.
    ends = len(lines) + 1
    if head.count(b"\r") != ends or head.count(b"\n") != ends or b"\0" in head:
        raise RequestInvalid
    return head

"""Bad input as data: what is sent, and what the documented answer is.

One row is one connection. `wire` are the bytes that the client sends; the answer must be one whole
refusal in OpenAI's envelope, with a request id, and nothing behind it. `closes` says whether the
connection ends with it; otherwise the next request on it is served. Bodies have a table of their
own in `bad_bodies.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HEADER_COUNT_MAX: Final = 100
HEADER_BYTES_MAX: Final = 32 * 1024
TARGET_BYTES_MAX: Final = 8 * 1024
BODY_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """The service under test: where it is, a key that works, and a model that it serves."""

    host: str
    port: int
    api_key: str
    model: str

    @property
    def authority(self) -> bytes:
        """Return the value of a proper Host header."""
        return f"{self.host}:{self.port}".encode()


Wire = Callable[[Target], bytes]


@dataclass(frozen=True, slots=True)
class BadInput:
    """What is sent, and the documented answer."""

    name: str
    wire: Wire
    status: int
    code: str | None
    closes: bool


def request(
    line: bytes,
    *headers: bytes,
    body: bytes | Callable[[Target], bytes] = b"",
    host: bool = True,
    key: bool = True,
    length: bool = True,
    end: bytes = b"\r\n",
) -> Wire:
    """Return the bytes of a request, with the usual headers unless they are left out."""

    def build(target: Target) -> bytes:
        sent = body if isinstance(body, bytes) else body(target)
        lines = [line]
        if host:
            lines.append(b"Host: " + target.authority)
        if key:
            lines.append(b"Authorization: Bearer " + target.api_key.encode())
        lines += headers
        if length and sent:
            lines.append(b"Content-Length: %d" % len(sent))
        return b"".join(each + end for each in lines) + end + sent

    return build


_GET: Final = b"GET /v1/models HTTP/1.1"
_POST: Final = b"POST /v1/chat/completions HTTP/1.1"
_CHUNKED: Final = b"Transfer-Encoding: chunked"


def chat(target: Target) -> bytes:
    """Return the body of a chat that would be served, and charged."""
    return (
        b'{"model":"%b","messages":[{"role":"user","content":"Name a thing that is blue."}]}'
        % target.model.encode()
    )


def smuggled(target: Target) -> bytes:
    """Return a whole request, to be hidden behind another one."""
    return request(_POST, body=chat)(target)


def _chunk(target: Target) -> bytes:
    sent = chat(target)
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)


def _post(*headers: bytes, body: bytes | Callable[[Target], bytes] = chat) -> Wire:
    return request(_POST, *headers, body=body, length=False)


def _chunks(raw: bytes) -> Wire:
    return request(_POST, _CHUNKED, body=raw, length=False)


def _get(target: bytes) -> Wire:
    return request(b"GET %b HTTP/1.1" % target)


def _bad(name: str, wire: Wire, status: int = 400, code: str = "bad_request") -> BadInput:
    return BadInput(name, wire, status, code, closes=True)


def _refused(name: str, wire: Wire, status: int, code: str | None) -> BadInput:
    return BadInput(name, wire, status, code, closes=False)


def _raw(data: bytes) -> Wire:
    return lambda _: data


FRAMING: Final = (
    _bad("length-and-coding", _post(b"Content-Length: 3", _CHUNKED, body=_chunk)),
    _bad("coding-and-length", _post(_CHUNKED, b"Content-Length: 3", body=_chunk)),
    _bad("two-lengths", _post(b"Content-Length: 3", b"Content-Length: 400")),
    _bad("same-length-twice", _post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    _bad("list-of-lengths", _post(b"Content-Length: 3, 3", body=b"abc")),
    _bad("signed-length", _post(b"Content-Length: +3", body=b"abc")),
    _bad("negative-length", _post(b"Content-Length: -3", body=b"abc")),
    _bad("hex-length", _post(b"Content-Length: 0x3", body=b"abc")),
    _bad("length-beyond-64-bit", _post(b"Content-Length: 18446744073709551617", body=b"a")),
    _bad("length-of-twenty-zeros", _post(b"Content-Length: " + b"0" * 20, body=b"")),
    _bad("gzip-transfer-coding", _post(b"Transfer-Encoding: gzip")),
    _bad("two-codings", _post(b"Transfer-Encoding: gzip, chunked", body=_chunk)),
    _bad("coding-twice", _post(_CHUNKED, _CHUNKED, body=_chunk)),
    _bad("almost-chunked", _post(b"Transfer-Encoding: xchunked", body=_chunk)),
    _bad("chunked-with-tab", _post(b"Transfer-Encoding: \x0bchunked", body=_chunk)),
    _bad("quoted-coding", _post(b'Transfer-Encoding: "chunked"', body=_chunk)),
    _bad("space-before-colon", _post(b"Transfer-Encoding : chunked", body=_chunk)),
    _bad("folded-coding", _post(b"Transfer-Encoding:\r\n chunked", body=_chunk)),
    _bad(
        "chunked-in-1.0",
        request(b"POST /v1/chat/completions HTTP/1.0", _CHUNKED, body=_chunk, length=False),
    ),
    _bad("negative-chunk", _chunks(b"-3\r\nabc\r\n0\r\n\r\n")),
    _bad("0x-chunk", _chunks(b"0x3\r\nabc\r\n0\r\n\r\n")),
    _bad("underscore-chunk", _chunks(b"1_0\r\nabc\r\n0\r\n\r\n")),
    _bad("signed-chunk", _chunks(b"+3\r\nabc\r\n0\r\n\r\n")),
    _bad("spaced-chunk", _chunks(b"3 \r\nabc\r\n0\r\n\r\n")),
    _bad("chunk-beyond-64-bit", _chunks(b"fffffffffffffffff\r\nabc")),
    _bad("chunk-too-short", _chunks(b"3\r\nabcd\r\n0\r\n\r\n")),
    _bad("chunk-bare-lf", _chunks(b"3\nabc\n0\n\n")),
    _bad("chunk-ends-with-lf", _chunks(b"3\r\nabc\n0\r\n\r\n")),
    _bad("chunk-without-size", _chunks(b"\r\nabc\r\n")),
    _bad("chunk-size-in-words", _chunks(b"three\r\nabc\r\n0\r\n\r\n")),
    _bad(
        "endless-chunk-extension",
        _chunks(b"3;" + b"x" * 100_000),
        431,
        "request_headers_too_large",
    ),
    _bad(
        "endless-trailer",
        _chunks(b"0\r\nx: " + b"y" * 100_000),
        431,
        "request_headers_too_large",
    ),
)
"""What two servers could frame in two ways: the corpus of request smuggling."""


HEADS: Final = (
    _bad("two-hosts", request(_GET, b"Host: evil.example")),
    _bad("same-host-twice", lambda to: request(_GET, b"Host: " + to.authority)(to)),
    _bad("no-host", request(_GET, host=False)),
    _bad("empty-host", request(_GET, b"Host:", host=False)),
    _bad("host-with-path", request(_GET, b"Host: a/b", host=False)),
    _bad("host-with-user", request(_GET, b"Host: user@a", host=False)),
    _bad("host-with-comma", request(_GET, b"Host: a, b", host=False)),
    _bad("host-with-bytes", request(_GET, b"Host: \xc3\xa4", host=False)),
    _bad("bare-lf", request(_GET, end=b"\n")),
    _bad("bare-lf-in-head", request(_GET, b"X: a\nY: b")),
    _bad("bare-lf-at-the-end", lambda to: request(_GET)(to)[:-2] + b"\n"),
    _bad("bare-cr", request(_GET, b"X: a\rY: b")),
    _bad("folded-header", request(_GET, b"X: a\r\n b")),
    _bad("folded-first-header", request(_GET, b" X: a", host=False)),
    _bad("nul-in-value", request(_GET, b"X: a\x00b")),
    _bad("nul-in-name", request(_GET, b"X\x00: a")),
    _bad("control-in-value", request(_GET, b"X: a\x01b")),
    _bad("header-without-colon", request(_GET, b"nonsense")),
    _bad("header-without-name", request(_GET, b": a")),
    _bad("header-name-with-space", request(_GET, b"X Y: a")),
    _bad("bytes-in-name", request(_GET, b"\xc3\xa4: a")),
    _bad("10,000-headers", request(_GET, *[b"x: y"] * 10_000), 431, "request_headers_too_large"),
    _bad(
        "one-header-too-many",
        request(_GET, *[b"x: y"] * (HEADER_COUNT_MAX - 1)),
        431,
        "request_headers_too_large",
    ),
    _bad(
        "header-of-100-kB", request(_GET, b"x: " + b"y" * 100_000), 431, "request_headers_too_large"
    ),
    _bad(
        "header-name-of-100-kB",
        request(_GET, b"y" * 100_000 + b": x"),
        431,
        "request_headers_too_large",
    ),
    _bad("long-target", _get(b"/" + b"a" * TARGET_BYTES_MAX), 414, "uri_too_long"),
    _bad("long-query", _get(b"/v1/models?" + b"a" * TARGET_BYTES_MAX), 414, "uri_too_long"),
)
"""Heads that are not HTTP/1.1, or over its bounds here."""


TARGETS: Final = (
    _bad("absolute-form", _get(b"http://evil.example/v1/models")),
    _bad("absolute-form-of-ours", lambda to: _get(b"http://%b/v1/models" % to.authority)(to)),
    _bad("authority-form", request(b"CONNECT evil.example:443 HTTP/1.1")),
    _bad("asterisk-form", request(b"OPTIONS * HTTP/1.1")),
    _bad("no-slash", _get(b"v1/models")),
    _bad("fragment", _get(b"/v1/models#x")),
    _bad("dot-dot", _get(b"/v1/chat/../models")),
    _bad("dot", _get(b"/v1/./models")),
    _bad("dot-dot-to-the-root", _get(b"/../../../etc/passwd")),
    _bad("encoded-dot-dot", _get(b"/v1/%2e%2E/models")),
    _bad("encoded-slash-dot-dot", _get(b"/v1%2f..%2fmodels")),
    _bad("backslash-dot-dot", _get(b"/v1\\..\\models")),
    _bad("encoded-nul", _get(b"/v1/models%00")),
    _bad("encoded-line-end", _get(b"/v1/models%0d%0aX:y")),
    _bad("bytes-in-target", _get(b"/v1/mod\xc3\xa4ls")),
    _bad("space-in-target", _get(b"/v1/mo dels")),
    _bad("control-in-target", _get(b"/v1/mo\x01dels")),
    _bad("no-target", request(b"GET HTTP/1.1")),
    _refused("double-slash", _get(b"//v1/models"), 404, "unknown_url"),
    _refused("double-slash-inside", _get(b"/v1//models"), 404, "unknown_url"),
    _refused("trailing-slash", _get(b"/v1/chat/completions/"), 404, "unknown_url"),
    _refused("encoded-slash", _get(b"/v1%2Fmodels"), 404, "unknown_url"),
    _refused("encoded-slash-of-chat", _get(b"/v1/chat%2fcompletions"), 404, "unknown_url"),
    _refused("broken-percent", _get(b"/v1/mod%zzels"), 404, "unknown_url"),
    _refused("encoded-bytes", _get(b"/v1/%ff%fe"), 404, "unknown_url"),
    _refused("unknown-path", _get(b"/v1/nothing"), 404, "unknown_url"),
    _refused("unknown-model", _get(b"/v1/models/nothing"), 404, "model_not_found"),
    _refused("no-model", _get(b"/v1/models/"), 404, "model_not_found"),
    _refused("wrong-method", _get(b"/v1/images/edits"), 405, "method_not_allowed"),
    _refused("delete-models", request(b"DELETE /v1/models HTTP/1.1"), 405, "method_not_allowed"),
)
"""Request targets that are no plain path, and paths that nothing is at."""


PROTOCOLS: Final = (
    _bad("http-0.9", _raw(b"GET /v1/models\r\n\r\n")),
    _bad("http-1.2", request(b"GET /v1/models HTTP/1.2")),
    _bad("http-2-preface", _raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    _bad("http-3", request(b"GET /v1/models HTTP/3")),
    _bad("icap", request(b"GET /v1/models ICAP/1.0")),
    _bad("lower-case-protocol", request(b"GET /v1/models http/1.1")),
    _bad("unknown-method", request(b"HACK /v1/models HTTP/1.1")),
    _bad("lower-case-method", request(b"get /v1/models HTTP/1.1")),
    _bad("tls-hello", _raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64)),
    _bad("ssh", _raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")),
    _bad("zeros", _raw(b"\x00" * 1_000)),
    _bad("noise", _raw(bytes(range(128, 256)) * 8)),
    _bad("smtp", _raw(b"EHLO example\r\nMAIL FROM:<a@b>\r\n")),
)
"""What is not HTTP/1.x at all."""


def _unknown_key(name: str, key: bytes) -> BadInput:
    header = b"Authorization: Bearer " + key
    wire = request(_POST, header, body=chat, key=False)
    return _refused(name, wire, 401, "invalid_api_key")


KEYS: Final = (
    _refused("no-key", request(_POST, body=chat, key=False), 401, None),
    _refused(
        "basic-instead-of-bearer",
        request(_POST, b"Authorization: Basic YTpi", body=chat, key=False),
        401,
        None,
    ),
    _refused(
        "empty-key",
        request(_POST, b"Authorization: Bearer ", body=chat, key=False),
        401,
        None,
    ),
    _unknown_key("key-of-another-service", b"sk-proj-0123456789abcdef0123456789abcdef"),
    _unknown_key("garbled-key", b"1ac_live_" + b"0" * 49),
    _unknown_key("key-with-bytes", b"1ac_live_\xff\xfe" + b"0" * 47),
    _unknown_key("key-of-30-kB", b"1ac_live_" + b"0" * 30_000),
    _unknown_key("key-with-sql", b"' OR '1'='1"),
    _unknown_key("key-with-template", b"${jndi:ldap://localhost/a}"),
    _refused(
        "two-keys",
        request(_POST, b"Authorization: Bearer 1ac_live_" + b"0" * 49, body=chat),
        400,
        "repeated_header",
    ),
    _refused(
        "key-in-the-url",
        request(b"POST /v1/chat/completions?key=abc HTTP/1.1", body=chat, key=False),
        400,
        "api_key_in_url",
    ),
)
"""Keys that are none."""


def _option(name: str, header: bytes, code: str, *more: bytes, status: int = 400) -> BadInput:
    return _refused(name, request(_POST, header, *more, body=chat), status, code)


OPTIONS: Final = (
    _option("unknown-lane", b"x-delivery-lane: fast", "unknown_lane"),
    _option("empty-lane", b"x-delivery-lane:", "unknown_lane"),
    _option("lane-with-bytes", b"x-delivery-lane: \xff", "unknown_lane"),
    _option(
        "two-lanes", b"x-delivery-lane: economy", "repeated_header", b"X-Delivery-Lane: economy"
    ),
    _option("ceiling-in-words", b"x-max-cost: cheap", "invalid_max_cost"),
    _option("negative-ceiling", b"x-max-cost: -1", "invalid_max_cost"),
    _option("zero-ceiling", b"x-max-cost: 0", "invalid_max_cost"),
    _option("ceiling-with-exponent", b"x-max-cost: 1e3", "invalid_max_cost"),
    _option("nan-ceiling", b"x-max-cost: NaN", "invalid_max_cost"),
    _option("infinite-ceiling", b"x-max-cost: Infinity", "invalid_max_cost"),
    _option("huge-ceiling", b"x-max-cost: 9999999999", "invalid_max_cost"),
    _option("ceiling-of-ten-places", b"x-max-cost: 0.0000000001", "invalid_max_cost"),
    _option("arabic-ceiling", b"x-max-cost: \xd9\xa1", "invalid_max_cost"),
    _option("ceiling-below-the-input", b"x-max-cost: 0.000000001", "max_cost_too_low"),
    _option("two-ceilings", b"x-max-cost: 1", "repeated_header", b"x-max-cost: 0.01"),
    _option("empty-idempotency-key", b"idempotency-key:", "invalid_idempotency_key"),
    _option("long-idempotency-key", b"idempotency-key: " + b"k" * 256, "invalid_idempotency_key"),
    _option(
        "gzip-body",
        b"content-encoding: gzip",
        "content_encoding_not_supported",
        status=415,
    ),
    _option(
        "two-encodings",
        b"content-encoding: gzip",
        "repeated_header",
        b"content-encoding: identity",
    ),
)
"""Headers of ours with values that they do not take."""


def _oversized(target: Target) -> bytes:
    head = request(_POST, _CHUNKED, length=False)(target)
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    return head + piece * (50 * 16) + b"0\r\n\r\n"


SIZES: Final = (
    _bad(
        "body-said-to-be-50-MB",
        request(_POST, b"Content-Length: 52428800", length=False),
        413,
        "request_too_large",
    ),
    _bad(
        "body-said-to-be-one-byte-too-long",
        request(_POST, b"Content-Length: %d" % (BODY_BYTES_MAX + 1), length=False),
        413,
        "request_too_large",
    ),
    _refused("chunked-body-of-50-MB", _oversized, 413, "request_too_large"),
)
"""Bodies over the limit."""


BAD_INPUTS: Final = (
    *FRAMING,
    *HEADS,
    *TARGETS,
    *PROTOCOLS,
    *KEYS,
    *OPTIONS,
    *SIZES,
)

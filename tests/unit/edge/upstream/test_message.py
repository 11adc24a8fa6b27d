"""Origins are parsed strictly, and no part of a request can break its framing."""

from __future__ import annotations

import pytest

from edge.upstream.errors import RequestInvalid
from edge.upstream.message import Header, Origin, Timeouts, UpstreamRequest, encode_head

_TIMEOUTS = Timeouts(connect_seconds=1, first_byte_seconds=1, idle_seconds=1)


def _request(
    *, method: bytes = b"POST", target: bytes = b"/", headers: tuple[Header, ...] = ()
) -> UpstreamRequest:
    return UpstreamRequest(Origin("http", "h", 80), method, target, headers, b"{}", _TIMEOUTS)


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://api.example.com/v1/", Origin("https", "api.example.com", 443, b"/v1"), b""),
        ("http://127.0.0.1:8080", Origin("http", "127.0.0.1", 8080), b"127.0.0.1:8080"),
        ("http://[::1]:9/a/b", Origin("http", "::1", 9, b"/a/b"), b"[::1]:9"),
        ("HTTPS://API.Example.com", Origin("https", "api.example.com", 443), b"api.example.com"),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443), b""),
    ],
)
def test_a_base_url_becomes_an_origin(url: str, origin: Origin, authority: bytes) -> None:
    """The port is always known, the host in its wire form."""
    parsed = Origin.parse(url)
    assert parsed == origin
    assert not authority or parsed.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "//host/",
        "https://",
        "https://user:pass@host/",
        "https://host/?a=b",
        "https://host/#a",
        "https://host/a b",
        "https://host:99999/",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """A base URL with a user or a query is a mistake that would leak or be lost."""
    with pytest.raises(ValueError, match=r"base URL|[Pp]ort"):
        Origin.parse(url)


def test_a_target_lies_below_the_base_path() -> None:
    """The base path is the operator's, the rest ours."""
    assert Origin.parse("https://h/v1/").target(b"/models") == b"/v1/models"


@pytest.mark.parametrize(
    "request_",
    [
        _request(headers=((b"a", b"b\r\nx: y"),)),
        _request(headers=((b"a", b"b\nx: y"),)),
        _request(headers=((b"a\r\nb", b"c"),)),
        _request(headers=((b"a", b"\0"),)),
        _request(target=b"/ HTTP/1.1\r\nx: y"),
        _request(target=b"/a b"),
        _request(target=b"http://other/"),
        _request(method=b"GET /"),
        _request(headers=((b"Host", b"other"),)),
        _request(headers=((b"Content-Length", b"0"),)),
        _request(headers=((b"Transfer-Encoding", b"chunked"),)),
        _request(headers=((b"Connection", b"close"),)),
    ],
)
def test_a_part_that_breaks_the_framing_is_refused(request_: UpstreamRequest) -> None:
    """A header value that a client chose cannot add a header or a request."""
    with pytest.raises(RequestInvalid):
        encode_head(request_)


def test_the_callers_accept_encoding_wins() -> None:
    """Identity is the default only."""
    head = encode_head(_request(headers=((b"Accept-Encoding", b"gzip"),)))
    assert b"identity" not in head
    assert b"Accept-Encoding: gzip" in head


def test_a_request_shows_neither_headers_nor_body() -> None:
    """A repr in a traceback must not hold a prompt or a credential."""
    request = UpstreamRequest(
        Origin("http", "h", 80), b"POST", b"/", ((b"authorization", b"s3cret"),), b"hi", _TIMEOUTS
    )
    assert "s3cret" not in repr(request)
    assert "hi" not in repr(request)

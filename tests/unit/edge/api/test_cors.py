"""Which pages may use a key, by what browsers say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.accounts.origins import is_origin
from edge.admission.grants import Grant, grant_from
from edge.api import cors
from edge.api.http import Message, Receive, Scope, Send
from edge.api.routes import DataPlaneFirst
from edge.errors import ApiError
from oneapi.admission.v1 import grant_pb2

ORIGIN = b"https://app.example.com"
PAGE = {b"origin": ORIGIN, b"sec-fetch-mode": b"cors", b"sec-fetch-site": b"cross-site"}


def grant(*origins: str) -> Grant:
    """Return the grant of a key whose workspace names these origins."""
    return grant_from(grant_pb2.Grant(cors_origins=origins))


NAMED = grant("https://app.example.com", "http://localhost:3000")


def test_a_page_of_a_named_origin_may_read() -> None:
    """Answers of any kind, with our headers."""
    headers = dict(cors.of_named_page(PAGE, NAMED))
    assert headers[b"access-control-allow-origin"] == ORIGIN
    assert headers[b"vary"] == b"origin"
    assert b"x-request-id" in headers[b"access-control-expose-headers"].split(b", ")
    assert dict(cors.of_any_page(PAGE)) == headers


@pytest.mark.parametrize(
    "origin",
    [
        b"https://app.example.com.evil.example",
        b"https://app.example.com:8443",
        b"http://app.example.com",
        b"https://APP.example.com",
        b"https://example.com",
        b"null",
        b"",
        b"https://app.example.com ",
        b"\xff",
    ],
)
def test_a_page_of_another_origin_is_refused(origin: bytes) -> None:
    """An origin is the same, letter for letter, or another one."""
    for key in (NAMED, grant()):
        with pytest.raises(ApiError) as caught:
            cors.of_named_page({**PAGE, b"origin": origin}, key)
        assert (caught.value.status, caught.value.code) == (403, "origin_not_allowed")
        assert "example" not in caught.value.message


@pytest.mark.parametrize(
    "sent",
    [
        {b"origin": ORIGIN},
        {**PAGE, b"sec-fetch-mode": b"no-cors"},
        {**PAGE, b"sec-fetch-mode": b"navigate"},
        {**PAGE, b"sec-fetch-site": b"same-origin"},
    ],
)
def test_what_no_foreign_script_reads_is_served(sent: Mapping[bytes, bytes]) -> None:
    """Programs that send an origin, and browsers that hide the answer from the page anyway."""
    assert cors.of_named_page(sent, grant()) == []
    assert cors.of_any_page(sent) == []
    assert dict(cors.of_named_page(sent, NAMED))[b"access-control-allow-origin"] == ORIGIN


def test_an_error_can_be_read_but_not_by_what_is_no_origin() -> None:
    """Nothing strange is echoed."""
    assert dict(cors.of_any_page(PAGE))[b"access-control-allow-origin"] == ORIGIN
    for strange in (b"null", b"https://a/path", b"https://a, https://b", b"a" * 400):
        told = dict(cors.of_any_page({**PAGE, b"origin": strange}))
        assert b"access-control-allow-origin" not in told


@pytest.mark.parametrize("length", [31, 32, 33])
def test_what_a_workspace_may_name_is_what_is_echoed(length: int) -> None:
    """Core's bound of a scheme and the edge's are one."""
    origin = f"{'a' * length}://app.example.com"
    told = dict(cors.of_any_page({**PAGE, b"origin": origin.encode()}))
    assert (b"access-control-allow-origin" in told) == is_origin(origin) == (length <= 32)


@given(st.binary(max_size=40))
def test_any_origin_is_echoed_whole_or_not_at_all(origin: bytes) -> None:
    """And never breaks a header."""
    told = dict(cors.of_any_page({**PAGE, b"origin": origin})).get(b"access-control-allow-origin")
    assert told in {None, origin}
    assert told is None or told.isascii()
    assert told is None or told.decode().isprintable()


# --- preflights


async def _no_endpoint(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 599, "headers": []})


async def _router(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 405, "headers": []})


async def _nothing() -> Message:
    raise AssertionError("a preflight has no body")


def asked(path: str, **headers: str) -> tuple[int, dict[bytes, bytes]]:
    """Send OPTIONS and return status and headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": "OPTIONS", "path": path, "headers": names}
    front = DataPlaneFirst({"/v1/chat/completions": _no_endpoint}, _router)
    asyncio.run(_run(front, scope, send))
    return sent[0]["status"], dict(sent[0]["headers"])


async def _run(front: DataPlaneFirst, scope: Scope, send: Send) -> None:
    await front(scope, _nothing, send)


QUESTION = {"origin": ORIGIN.decode(), "access_control_request_method": "POST"}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/api/v1/models", "/v1beta/models/m:generateContent"]
)
def test_a_preflight_is_answered_without_a_key(path: str) -> None:
    """For every path of the API, with the headers that the page wants to send."""
    wanted = "authorization,content-type,x-stainless-lang"
    status, headers = asked(path, **QUESTION, access_control_request_headers=wanted)
    assert status == 204
    assert headers == {
        b"access-control-allow-origin": ORIGIN,
        b"vary": b"origin",
        b"access-control-allow-methods": b"GET, POST",
        b"access-control-allow-headers": wanted.encode(),
        b"access-control-max-age": b"7200",
    }


@pytest.mark.parametrize("names", ["", "a b", "x: y", "ü", "a," * 2_000 + "a", "*"])
def test_only_names_of_headers_are_echoed(names: str) -> None:
    """Anything else gets the usual two."""
    _, headers = asked("/v1/x", **QUESTION, access_control_request_headers=names)
    assert headers[b"access-control-allow-headers"] == b"authorization, content-type"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/metrics", QUESTION),
        ("/v1", QUESTION),
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"origin": "https://a"}),
        ("/v1/chat/completions", {"access_control_request_method": "POST"}),
    ],
)
def test_other_options_go_to_the_router(path: str, headers: dict[str, str]) -> None:
    """Pages of ours, and questions that no browser asks."""
    assert asked(path, **headers)[0] == 405

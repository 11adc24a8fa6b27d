"""Small parts of raw ASGI."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from edge.api.body_room import BodyRoom
from edge.api.http import ClientGone, Message, api_key_of, header, read_body, sent_of
from edge.errors import ApiError


def read(headers: dict[bytes, bytes], body: Body) -> Coroutine[Any, Any, bytes]:
    """Read a body of at most three bytes."""
    return read_body(headers, body, 3, BodyRoom(1_024), b"request")


class Body:
    """Gives a body in parts."""

    def __init__(self, *parts: bytes, then: str = "http.request") -> None:
        self._parts = list(parts)
        self._then = then

    async def __call__(self) -> Message:
        """Give the next part."""
        if not self._parts:
            return {"type": self._then}
        part = self._parts.pop(0)
        more = bool(self._parts) or self._then != "http.request"
        return {"type": "http.request", "body": part, "more_body": more}


@pytest.mark.parametrize(
    "sent",
    [
        (b"authorization", b"Bearer the-key"),
        (b"authorization", b"bearer  the-key "),
        (b"x-api-key", b"the-key"),
        (b"api-key", b"the-key"),
        (b"x-goog-api-key", b"the-key"),
    ],
)
def test_the_key_comes_in_the_headers_that_sdks_use(sent: tuple[bytes, bytes]) -> None:
    """OpenAI's, Anthropic's, Azure's and Google's."""
    assert api_key_of(dict([sent]), b"") == "the-key"


@pytest.mark.parametrize("sent", [{}, {b"x-goog-api-key": b"the-key"}])
@pytest.mark.parametrize("query", [b"key=secret", b"alt=sse&key=secret"])
def test_a_key_in_the_url_is_refused_in_words(sent: dict[bytes, bytes], query: bytes) -> None:
    """URLs are logged by everyone on the way, whatever the headers say."""
    with pytest.raises(ApiError) as raised:
        api_key_of(sent, query)
    assert (raised.value.status, raised.value.code) == (400, "api_key_in_url")


def test_other_words_in_the_url_are_no_key() -> None:
    """Only `key` is one."""
    assert api_key_of({b"api-key": b"the-key"}, b"monkey=1&alt=sse") == "the-key"


@pytest.mark.parametrize("name", [b"authorization", b"x-max-cost", b"idempotency-key"])
def test_a_header_of_ours_that_is_there_twice_is_refused(name: bytes) -> None:
    """Who reads the first one would take the request for another."""
    with pytest.raises(ApiError) as raised:
        sent_of([(name, b"a"), (b"x", b"y"), (name, b"a")])
    assert (raised.value.status, raised.value.code) == (400, "repeated_header")


def test_other_headers_may_be_repeated() -> None:
    """Of those that we do not read, it is nobody's affair."""
    sent = sent_of([(b"accept", b"a"), (b"accept", b"b"), (b"x-max-cost", b"1")])
    assert header(sent, b"x-max-cost") == "1"


def test_no_key_is_401() -> None:
    """As OpenAI answers."""
    with pytest.raises(ApiError) as raised:
        api_key_of({b"authorization": b"Basic abc"}, b"")
    assert raised.value.status == 401


def test_a_header_that_is_not_ascii_is_not_taken_for_none() -> None:
    """A cost ceiling that cannot be read must be refused, not ignored."""
    assert header({b"x-max-cost": b"0\xb71"}, b"x-max-cost") == "0·1"
    assert header({}, b"x-max-cost") is None


async def test_a_body_in_parts_is_joined() -> None:
    """As the front delivers it."""
    assert await read({}, Body(b"a", b"", b"bc")) == b"abc"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_above_the_limit_is_413(*, announced: bool) -> None:
    """By its announcement before it is read, else while it is."""
    headers = {b"content-length": b"4"} if announced else {}
    body = Body() if announced else Body(b"ab", b"cd")
    with pytest.raises(ApiError) as raised:
        await read(headers, body)
    assert raised.value.status == 413


async def test_an_encoded_body_is_415() -> None:
    """We would have to unpack what somebody else packed."""
    with pytest.raises(ApiError) as raised:
        await read({b"content-encoding": b"gzip"}, Body(b""))
    assert raised.value.status == 415


async def test_a_client_that_leaves_meanwhile_gets_no_answer() -> None:
    """Nothing was accepted."""
    with pytest.raises(ClientGone):
        await read({}, Body(b"a", then="http.disconnect"))

"""The client behind httpx's port."""

from __future__ import annotations

import httpx
import pytest

from edge.upstream.client import UpstreamClient
from edge.upstream.transport import PooledTransport
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    SHORT_ANSWER,
    Script,
    chunk,
    closing,
    says,
    says_and_closes,
    upstream,
)


async def test_httpx_reads_an_answer_through_the_pool() -> None:
    """The API of httpx over our connections."""
    async with upstream(says(SHORT_ANSWER)) as server, closing(UpstreamClient()) as client:
        url = f"http://127.0.0.1:{server.origin.port}/a?b=c"
        async with httpx.AsyncClient(transport=PooledTransport(client)) as http:
            for _ in range(2):
                response = await http.post(url, json={"a": 1})
                assert (response.status_code, response.text) == (200, "hi")
        assert server.connections == 1


async def test_httpx_streams_chunks() -> None:
    """A stream is not gathered first."""
    wire = [CHUNKED_HEAD, chunk(b"one"), chunk(b"two"), b"0\r\n\r\n"]
    async with (
        upstream(says(*wire, seconds_between=0.01)) as server,
        closing(UpstreamClient()) as client,
        httpx.AsyncClient(transport=PooledTransport(client)) as http,
        http.stream("GET", f"http://127.0.0.1:{server.origin.port}/") as response,
    ):
        parts = [part async for part in response.aiter_bytes()]
    assert b"".join(parts) == b"onetwo"
    assert len(parts) == 2


async def test_leaving_a_stream_early_frees_the_connection() -> None:
    """Leaving closes the response; the slot is free."""
    async with (
        upstream(says(CHUNKED_HEAD, then_hang=True)) as server,
        closing(UpstreamClient()) as client,
        httpx.AsyncClient(transport=PooledTransport(client)) as http,
    ):
        async with http.stream("GET", f"http://127.0.0.1:{server.origin.port}/"):
            assert client.stats().active == 1
        assert client.stats().active == 0


async def test_a_body_without_framing_ends_at_a_clean_close() -> None:
    """As httpx itself takes it."""
    wire = b"HTTP/1.1 200 OK\r\n\r\nall"
    async with (
        upstream(says_and_closes(wire)) as server,
        closing(UpstreamClient()) as client,
        httpx.AsyncClient(transport=PooledTransport(client)) as http,
    ):
        response = await http.get(f"http://127.0.0.1:{server.origin.port}/")
        assert response.text == "all"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (says_and_closes(), httpx.ReadError),
        (says_and_closes(b"nonsense\r\n"), httpx.RemoteProtocolError),
        (says_and_closes(CHUNKED_HEAD + chunk(b"part")), httpx.RemoteProtocolError),
        (says(CHUNKED_HEAD + chunk(b"part"), then_hang=True), httpx.ReadTimeout),
        (says(b"HTTP/1.1", then_hang=True), httpx.ReadTimeout),
    ],
    ids=["reset", "nonsense", "cut", "idle", "silent"],
)
async def test_failures_become_httpx_errors(
    script: Script, expected: type[httpx.TransportError]
) -> None:
    """Code that knows httpx handles them as ever."""
    patience = 0.3 if expected is httpx.ReadTimeout else 10.0
    async with (
        upstream(script) as server,
        closing(UpstreamClient()) as client,
        httpx.AsyncClient(transport=PooledTransport(client), timeout=patience) as http,
    ):
        with pytest.raises(expected):
            await http.get(f"http://127.0.0.1:{server.origin.port}/")
        assert client.stats().active == 0

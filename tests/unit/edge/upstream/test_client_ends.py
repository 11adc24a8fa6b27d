"""The client's deadlines, how exchanges end, and what requests look like on the wire."""

from __future__ import annotations

import asyncio

import pytest

from edge.upstream import errors
from edge.upstream.client import (
    Origin,
    Timeouts,
    UpstreamClient,
    UpstreamRequest,
    UpstreamResponse,
)
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    HASTY,
    HASTY_INSIDE,
    PATIENT,
    SHORT_ANSWER,
    chunk,
    closing,
    read_request,
    reset,
    says,
    says_and_closes,
    says_and_resets,
    sse_frames,
    upstream,
)


async def whole_stream(client: UpstreamClient, request: UpstreamRequest) -> bytes:
    """Send and join every chunk up to the proper end."""
    parts: list[bytes] = []
    await collect(await client.send(request), parts)
    return b"".join(parts)


async def collect(response: UpstreamResponse, seen: list[bytes]) -> None:
    """Append the chunks up to the proper end."""
    while part := await response.next_chunk():
        seen.append(part)


class TestDeadlines:
    """Every wait ends."""

    async def test_silence_before_the_headers_is_a_first_byte_timeout(self) -> None:
        """The caller may fall back to another upstream."""
        async with (
            upstream(says(b"HTTP/1.1 200 OK\r\n", then_hang=True)) as server,
            closing(UpstreamClient()) as client,
        ):
            with pytest.raises(errors.FirstByteTimeout) as caught:
                await client.send(server.request(timeouts=HASTY))
            assert caught.value.request_sent_whole
            assert client.stats().active == 0

    async def test_headers_that_drip_do_not_extend_the_first_byte_deadline(self) -> None:
        """One byte now and then is not an answer."""
        drip = [b"HTTP/1.1 200 OK\r\n", *([b"a: b\r\n"] * 100)]
        async with (
            upstream(says(*drip, seconds_between=0.02)) as server,
            closing(UpstreamClient()) as client,
        ):
            with pytest.raises(errors.FirstByteTimeout):
                await client.send(server.request(timeouts=HASTY))

    async def test_silence_inside_the_body_is_an_idle_timeout(self) -> None:
        """A stalled stream is told from a slow one."""
        async with (
            upstream(says(CHUNKED_HEAD + chunk(b"one"), then_hang=True)) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request(timeouts=HASTY_INSIDE))
            assert await response.next_chunk() == b"one"
            with pytest.raises(errors.IdleTimeout):
                await response.next_chunk()
            assert client.stats().active == 0

    async def test_a_slow_but_steady_stream_outlives_the_idle_time(self) -> None:
        """The idle time runs between bytes, not over the whole answer."""
        pieces = [CHUNKED_HEAD, *map(chunk, sse_frames(12)), b"0\r\n\r\n"]
        timeouts = Timeouts(connect_seconds=5, first_byte_seconds=5, idle_seconds=0.8)
        async with (
            upstream(says(*pieces, seconds_between=0.1)) as server,
            closing(UpstreamClient()) as client,
        ):
            body = await whole_stream(client, server.request(timeouts=timeouts))
            assert body == b"".join(sse_frames(12))

    async def test_a_slow_reader_is_not_taken_for_a_silent_upstream(self) -> None:
        """As long as bytes wait for the reader, the upstream has done its part."""
        async with (
            upstream(says(CHUNKED_HEAD + chunk(b"x" * 300_000) + b"0\r\n\r\n")) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request(timeouts=HASTY_INSIDE))
            await asyncio.sleep(0.5)
            assert await response.read(300_000) == b"x" * 300_000

    async def test_an_upstream_that_does_not_read_is_a_write_failure(self) -> None:
        """A request that was not sent whole may safely go to another upstream."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            with pytest.raises(errors.WriteFailed) as caught:
                await client.send(server.request(body=b"x" * 20_000_000, timeouts=HASTY))
            assert not caught.value.request_sent_whole
            assert client.stats().active == 0

    async def test_no_connection_in_time_is_a_connect_timeout(self) -> None:
        """TLS is part of connecting: here the server never says hello."""
        async with (
            upstream(says()) as server,
            closing(UpstreamClient()) as client,
        ):
            origin = Origin("https", "127.0.0.1", server.origin.port)
            timeouts = Timeouts(connect_seconds=0.05, first_byte_seconds=5, idle_seconds=5)
            request = UpstreamRequest(origin, b"GET", b"/", (), b"", timeouts)
            with pytest.raises(errors.ConnectTimeout) as caught:
                await client.send(request)
            assert not caught.value.request_sent_whole
            assert client.stats().active == 0

    async def test_quiet_is_reported_without_ending_the_stream(self) -> None:
        """The relay sends a keep-alive and waits on."""
        pieces = [CHUNKED_HEAD, chunk(b"late"), b"0\r\n\r\n"]
        async with (
            upstream(says(*pieces, seconds_between=0.15)) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request())
            seen = [await response.next_chunk_within(0.02)]
            while seen[-1] is None:
                seen.append(await response.next_chunk_within(0.02))
            assert len(seen) > 2
            assert seen[-1] == b"late"
            assert await response.next_chunk_within(5) == b""


class TestEnds:
    """Connections that end before there is an answer."""

    async def test_nobody_listening_is_a_connect_failure(self) -> None:
        """Nothing was sent."""
        async with upstream(says()) as server:
            pass
        async with closing(UpstreamClient()) as client:
            with pytest.raises(errors.ConnectFailed) as caught:
                await client.send(server.request())
            assert not caught.value.request_sent_whole
            assert client.stats().active == 0

    async def test_a_name_that_no_dns_can_hold_is_a_connect_failure(self) -> None:
        """Whatever the resolver raises, the caller sees our error."""
        origin = Origin("http", "a" * 70 + ".invalid", 80)
        async with closing(UpstreamClient()) as client:
            with pytest.raises(errors.ConnectFailed):
                await client.send(UpstreamRequest(origin, b"GET", b"/", (), b"", PATIENT))

    @pytest.mark.parametrize("script", [says_and_closes(), says_and_resets()], ids=["fin", "rst"])
    async def test_an_end_before_the_headers_is_a_reset(self, script: object) -> None:
        """The request was sent whole: a retry may run it twice."""
        async with upstream(script) as server, closing(UpstreamClient()) as client:  # type: ignore[arg-type]
            with pytest.raises(errors.ConnectionReset) as caught:
                await client.send(server.request())
            assert caught.value.request_sent_whole

    async def test_an_end_while_the_request_is_written_is_a_write_failure(self) -> None:
        """The upstream cannot have read the whole request."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            reset(writer)

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            with pytest.raises(errors.WriteFailed) as caught:
                await client.send(server.request(body=b"x" * 20_000_000))
            assert not caught.value.request_sent_whole

    async def test_an_answer_before_the_request_is_whole_is_delivered(self) -> None:
        """A 413 comes while we still write; such a connection is not reused."""
        answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(answer)
            await asyncio.Event().wait()

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request(body=b"x" * 20_000_000))
            assert response.status == 413
            assert await response.read(10) == b"no"
            assert client.stats().idle == client.stats().active == 0

    async def test_closing_the_client_ends_what_is_under_way(self) -> None:
        """Nobody waits for a client that is gone."""
        async with upstream(says(CHUNKED_HEAD, then_hang=True)) as server:
            client = UpstreamClient()
            response = await client.send(server.request())
            reading = asyncio.ensure_future(response.next_chunk())
            await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(errors.BodyCut):
                await reading
            with pytest.raises(errors.ConnectFailed):
                await client.send(server.request())
            assert client.stats().active == client.stats().idle == 0


class TestRequests:
    """What is put on the wire."""

    async def test_the_head_is_framed_by_the_client(self) -> None:
        """Host, length and identity encoding are ours; the rest is the caller's, in order."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.requests.append(await read_request(reader))
            writer.write(SHORT_ANSWER)

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            response = await client.send(
                server.request(body=b'{"a":1}', headers=((b"authorization", b"Bearer k"),))
            )
            await response.read(10)
        assert server.requests == [
            b"POST /v1/x HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer k\r\n"
            b'accept-encoding: identity\r\ncontent-length: 7\r\n\r\n{"a":1}'
            % server.origin.authority
        ]

    async def test_a_large_body_arrives_whole(self) -> None:
        """Pictures make requests of megabytes."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.requests.append(await read_request(reader))
            writer.write(SHORT_ANSWER)

        body = bytes(range(256)) * 20_000
        async with upstream(script) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request(body=body))
            await response.read(10)
        assert server.requests[0].endswith(body)

    async def test_a_redirect_is_an_answer_like_any_other(self) -> None:
        """Credentials and prompts never follow a Location."""
        answer = b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        async with upstream(says(answer)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            assert response.status == 307

    async def test_proxies_of_the_environment_are_ignored(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An environment variable must not reroute prompts."""
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        async with upstream(says(SHORT_ANSWER)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            assert await response.read(10) == b"hi"

    async def test_an_address_that_the_rule_refuses_gets_no_request(self) -> None:
        """The rule judges the connected address, so that DNS cannot trick it."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.requests.append(await reader.read())

        asked: list[str] = []

        def rule(address: str) -> bool:
            asked.append(address)
            return False

        client = UpstreamClient(allows_address=rule)
        async with upstream(script) as server, closing(client):
            with pytest.raises(errors.ConnectFailed):
                await client.send(server.request())
            assert client.stats().active == 0
        assert asked == ["127.0.0.1"]
        assert server.requests in ([], [b""])

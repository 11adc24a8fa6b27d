"""The upstream client against servers that behave, dawdle, lie and hang up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from edge.upstream import errors
from edge.upstream.client import (
    Limits,
    Origin,
    Timeouts,
    UpstreamClient,
    UpstreamRequest,
    UpstreamResponse,
)
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    HASTY,
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
    until,
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


def answer_and_close(listener: socket.socket, connections: int) -> None:
    """Answer one request on each connection and close it, outside our event loop."""
    for _ in range(connections):
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(65_536)
            accepted.sendall(SHORT_ANSWER)


class TestReuse:
    """Which connections are kept."""

    async def test_a_response_read_to_its_end_gives_its_connection_back(self) -> None:
        """Keep-alive saves the handshake for the next request."""
        async with upstream(says(SHORT_ANSWER)) as server, closing(UpstreamClient()) as client:
            for _ in range(3):
                response = await client.send(server.request())
                assert await response.read(10) == b"hi"
            assert server.connections == 1
            assert client.stats().idle == 1
            assert client.stats().active == 0

    async def test_the_last_used_connection_is_reused_first(self) -> None:
        """Last in first out lets the rest of a burst grow old and go."""
        async with upstream(says(SHORT_ANSWER)) as server, closing(UpstreamClient()) as client:
            first, second = await asyncio.gather(
                client.send(server.request()), client.send(server.request())
            )
            await first.read(10)
            await second.read(10)
            last_port = None
            for _ in range(3):
                response = await client.send(server.request())
                await response.read(10)
                pool = next(iter(client._pools.values()))
                last = next(reversed(pool._idle))
                assert last.transport is not None
                port = last.transport.get_extra_info("sockname")[1]
                assert last_port in (None, port)
                last_port = port
            assert server.connections == 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
            b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nhi",
            SHORT_ANSWER + b"and more",
            SHORT_ANSWER + b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        ],
        ids=["close", "http-1.0", "gone-in-a-second", "bytes-behind", "answer-behind"],
    )
    async def test_a_connection_that_cannot_serve_again_is_closed(self, answer: bytes) -> None:
        """Reuse needs the upstream's word, and nothing left over on the wire."""
        async with upstream(says(answer)) as server, closing(UpstreamClient()) as client:
            for _ in range(2):
                response = await client.send(server.request())
                assert await response.read(10) == b"hi"
                assert response.status == 200
            assert server.connections == 2
            assert client.stats().idle == 0

    async def test_an_idle_connection_is_closed_after_its_time(self) -> None:
        """Nobody pays for connections that no request uses."""
        gone = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(SHORT_ANSWER)
            assert await reader.read() == b""
            gone.set()

        limits = Limits(keep_idle_seconds=0.02)
        async with upstream(script) as server, closing(UpstreamClient(limits=limits)) as client:
            response = await client.send(server.request())
            await response.read(10)
            await asyncio.wait_for(gone.wait(), 5)
            assert client.stats().idle == 0

    async def test_a_kept_connection_that_speaks_unasked_is_closed(self) -> None:
        """What would otherwise be taken for the answer to the next request is not trusted."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(SHORT_ANSWER)
            await asyncio.sleep(0.02)
            writer.write(SHORT_ANSWER)
            await reader.read()

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            await response.read(10)
            await until(lambda: client.stats().idle == 0)
            assert client.stats().active == 0

    async def test_a_connection_closed_while_kept_is_replaced_unnoticed(self) -> None:
        """The upstream's FIN costs the caller nothing once our loop has read it."""
        async with (
            upstream(says_and_closes(SHORT_ANSWER)) as server,
            closing(UpstreamClient()) as client,
        ):
            for _ in range(4):
                response = await client.send(server.request())
                assert await response.read(10) == b"hi"
                await until(lambda: client.stats().idle == 0)

    async def test_a_close_that_only_the_kernel_knows_of_is_noticed(self) -> None:
        """A busy loop has not read the FIN yet; the request must not go to its death."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = threading.Thread(target=answer_and_close, args=(listener, 4), daemon=True)
            serving.start()
            origin = Origin("http", "127.0.0.1", listener.getsockname()[1])
            request = UpstreamRequest(origin, b"GET", b"/", (), b"", PATIENT)
            async with closing(UpstreamClient()) as client:
                for _ in range(4):
                    response = await client.send(request)
                    assert await response.read(10) == b"hi"
                    time.sleep(0.05)  # our loop is busy while the upstream closes
            serving.join(5)

    async def test_a_reused_connection_that_closes_on_the_request_is_not_retried(self) -> None:
        """The upstream may have acted on it: only the caller may decide to send it again."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(SHORT_ANSWER)
            server.requests.append(await read_request(reader))

        async with upstream(script) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            await response.read(10)
            with pytest.raises(errors.ConnectionReset) as caught:
                await client.send(server.request())
            assert caught.value.request_sent_whole
            assert server.connections == 1
            assert len(server.requests) == 1


class TestBodies:
    """How an answer's body arrives and ends."""

    async def test_a_stream_in_one_byte_writes_arrives_whole(self) -> None:
        """Framing may be cut anywhere by the network."""
        body = b"".join(sse_frames(5))
        wire = CHUNKED_HEAD + b"".join(map(chunk, sse_frames(5))) + b"0\r\n\r\n"
        pieces = [wire[at : at + 1] for at in range(len(wire))]
        async with upstream(says(*pieces)) as server, closing(UpstreamClient()) as client:
            assert await whole_stream(client, server.request()) == body
            assert client.stats().idle == 1

    async def test_one_call_returns_all_that_is_buffered(self) -> None:
        """A slow reader catches up in one step."""
        wire = CHUNKED_HEAD + b"".join(map(chunk, sse_frames(8))) + b"0\r\n\r\n"
        async with upstream(says(wire)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            await until(lambda: client.stats().active == 0)
            assert response.buffered()
            assert await response.next_chunk() == b"".join(sse_frames(8))
            assert await response.next_chunk() == b""
            assert await response.next_chunk() == b""

    @pytest.mark.parametrize(
        ("answer", "framing", "status"),
        [
            (SHORT_ANSWER, "length", 200),
            (CHUNKED_HEAD + b"0\r\n\r\n", "chunked", 200),
            (b"HTTP/1.1 200 OK\r\nfoo: bar\r\n\r\nhi", "close", 200),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "none", 204),
            (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "none", 304),
        ],
    )
    async def test_the_framing_is_shown(self, answer: bytes, framing: str, status: int) -> None:
        """The caller decides what an end means by how the body was framed."""
        async with (
            upstream(says_and_closes(answer)) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request())
            assert (response.framing, response.status) == (framing, status)

    async def test_a_head_request_has_no_body_whatever_its_length_says(self) -> None:
        """A HEAD's Content-Length is the length of what a GET would have sent."""
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"
        async with (
            upstream(says(answer, then_hang=True)) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request(method=b"HEAD", body=b""))
            assert response.framing == "none"
            assert await response.read(10) == b""

    async def test_interim_answers_are_passed_over(self) -> None:
        """100 and 103 are not the answer."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        async with (
            upstream(says(interim, SHORT_ANSWER)) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request())
            assert response.status == 200
            assert response.headers == [(b"content-length", b"2")]
            assert await response.read(10) == b"hi"

    async def test_a_trailer_does_not_become_a_header(self) -> None:
        """What comes behind the body was not there when the caller decided."""
        wire = CHUNKED_HEAD + chunk(b"hi") + b"0\r\nx-cost: 0\r\n\r\n"
        async with upstream(says(wire)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            assert await response.read(10) == b"hi"
            assert response.headers == [(b"transfer-encoding", b"chunked")]

    async def test_header_names_are_lower_case_and_repeats_are_kept(self) -> None:
        """Callers look names up without folding case."""
        answer = b"HTTP/1.1 200 OK\r\nX-A: 1 \r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
        async with upstream(says(answer)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            assert response.headers[:2] == [(b"x-a", b"1"), (b"x-a", b"2")]

    @pytest.mark.parametrize(
        "wire",
        [
            CHUNKED_HEAD + chunk(b"part"),
            CHUNKED_HEAD + b"20\r\npart",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\npart",
            b"HTTP/1.1 200 OK\r\n\r\npart",
        ],
        ids=["no-last-chunk", "half-a-chunk", "short-of-its-length", "no-framing"],
    )
    @pytest.mark.parametrize("reset_after", [False, True])
    async def test_a_body_without_its_proper_end_is_cut(
        self, wire: bytes, *, reset_after: bool
    ) -> None:
        """The part that arrived is delivered, then BodyCut: never a clean end."""
        script = says_and_resets(wire) if reset_after else says_and_closes(wire)
        async with upstream(script) as server, closing(UpstreamClient()) as client:
            seen: list[bytes] = []
            with pytest.raises(errors.BodyCut):
                await collect(await client.send(server.request()), seen)
            # A reset may overtake what the kernel has not handed out.
            assert b"".join(seen) == b"part" or reset_after
            assert client.stats().active == 0

    async def test_an_unframed_body_may_end_by_a_clean_close_if_the_caller_says_so(self) -> None:
        """Some old upstreams know no other end."""
        wire = b"HTTP/1.1 200 OK\r\n\r\nall of it"
        async with upstream(says_and_closes(wire)) as server, closing(UpstreamClient()) as client:
            response = await client.send(server.request())
            assert await response.read(100, until_close=True) == b"all of it"
            response = await client.send(server.request())
            with pytest.raises(errors.BodyCut) as caught:
                await response.read(100)
            assert caught.value.clean_close

    async def test_a_body_over_the_callers_limit_is_refused_and_closed(self) -> None:
        """An endless answer costs a bounded amount of memory."""
        async with (
            upstream(says(CHUNKED_HEAD, chunk(b"x" * 60_000), chunk(b"x"))) as server,
            closing(UpstreamClient()) as client,
        ):
            response = await client.send(server.request())
            with pytest.raises(errors.ResponseTooLarge) as caught:
                await response.read(50_000)
            assert caught.value.limit_bytes == 50_000
            assert client.stats().active == 0


class TestViolations:
    """What is not HTTP/1.1 ends the exchange."""

    @pytest.mark.parametrize(
        "wire",
        [
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
            b"HTTP/1.1 200 OK\r\na: \x00\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbig: " + b"x" * 70_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbig: " + b"x" * 200_000,
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 129 + b"\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9_000,
        ],
        ids=[
            "other-protocol",
            "no-status",
            "bare-line-ends",
            "nul",
            "two-framings",
            "coding-without-frames",
            "second-coding",
            "upgrade",
            "large-header",
            "endless-header",
            "many-headers",
            "endless-interim",
        ],
    )
    async def test_a_bad_head_is_refused(self, wire: bytes) -> None:
        """Nothing of an answer that cannot be trusted is used."""
        async with (
            upstream(says(wire, then_hang=True)) as server,
            closing(UpstreamClient()) as client,
        ):
            with pytest.raises(errors.ProtocolViolation):
                await client.send(server.request())
            assert client.stats().active == 0

    @pytest.mark.parametrize(
        "tail",
        [
            b"zz\r\n",
            b"2\r\nhi!!\r\n",
            b"0\r\nbig: " + b"x" * 70_000 + b"\r\n\r\n",
            b"0\r\nbig: " + b"x" * 200_000,
            b"1;" + b"x" * 200_000,
        ],
        ids=["size", "no-end-of-chunk", "large-trailer", "endless-trailer", "endless-extension"],
    )
    async def test_broken_framing_in_the_body_is_refused(self, tail: bytes) -> None:
        """The good part is delivered, then the violation."""
        wire = CHUNKED_HEAD + chunk(b"good ")
        async with (
            upstream(says(wire, tail, then_hang=True)) as server,
            closing(UpstreamClient()) as client,
        ):
            with pytest.raises(errors.ProtocolViolation):
                await whole_stream(client, server.request())
            assert client.stats().active == 0

    async def test_no_error_carries_what_the_upstream_sent(self) -> None:
        """A provider's text can hold a prompt; it must not reach a log by way of an exception."""
        async with (
            upstream(says(b"the secret prompt\r\n")) as server,
            closing(UpstreamClient()) as client,
        ):
            with pytest.raises(errors.ProtocolViolation) as caught:
                await client.send(server.request())
            assert "secret" not in repr(caught.value)
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__


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
            response = await client.send(server.request(timeouts=HASTY))
            assert await response.next_chunk() == b"one"
            with pytest.raises(errors.IdleTimeout):
                await response.next_chunk()
            assert client.stats().active == 0

    async def test_a_slow_but_steady_stream_outlives_the_idle_time(self) -> None:
        """The idle time runs between bytes, not over the whole answer."""
        pieces = [CHUNKED_HEAD, *map(chunk, sse_frames(12)), b"0\r\n\r\n"]
        timeouts = Timeouts(connect_seconds=5, first_byte_seconds=5, idle_seconds=0.2)
        async with (
            upstream(says(*pieces, seconds_between=0.03)) as server,
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
            response = await client.send(server.request(timeouts=HASTY))
            await asyncio.sleep(0.2)
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

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
    UpstreamClient,
    UpstreamRequest,
    UpstreamResponse,
)
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    PATIENT,
    SHORT_ANSWER,
    chunk,
    closing,
    read_request,
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

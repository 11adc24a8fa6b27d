"""Raw bytes against the front: what is refused and how, what passes and as what."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from edge.server.cycle import AnswerCut
from tests.unit.edge.server.conftest import bodies, echo, running

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_CLOSE = b"Connection: close\r\n\r\n"

BAD_REQUESTS = {
    "two-hosts": _GET + b"Host: b\r\n\r\n",
    "same-host-twice": _GET + b"Host: a\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "empty-host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host-with-path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host-with-user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "length-and-coding": _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "coding-and-length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    "two-lengths": _POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "same-length-twice": _POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list-of-lengths": _POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed-length": _POST + b"Content-Length: +3\r\n\r\nabc",
    "negative-length": _POST + b"Content-Length: -3\r\n\r\nabc",
    "endless-length": _POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "length-of-twenty-zeros": _POST + b"Content-Length: " + b"0" * 20 + b"\r\n\r\n",
    "gzip-coding": _POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "two-codings": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked-twice": _POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "almost-chunked": _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked-in-1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare-lf-request-line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare-lf-header": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare-lf-end": _GET + b"\n",
    "bare-cr": b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "nul-in-header": _GET + b"X: a\x00b\r\n\r\n",
    "control-in-header": _GET + b"X: a\x01b\r\n\r\n",
    "delete-in-header": _GET + b"X: a\x7fb\r\n\r\n",
    "nul-in-path": b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded-nul-in-path": b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded-line-end-in-path": b"GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n",
    "high-byte-in-path": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
    "folded-header": _GET + b"X: a\r\n b\r\n\r\n",
    "space-before-colon": _GET + b"X : a\r\n\r\n",
    "space-before-header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "absolute-form": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute-form-same-host": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority-form": b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
    "asterisk-form": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "dot-dot": b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
    "dot": b"GET /a/./b HTTP/1.1\r\nHost: a\r\n\r\n",
    "dot-dot-at-end": b"GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded-dot-dot": b"GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded-slash-dot-dot": b"GET /a%2f..%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
    "backslash-dot-dot": b"GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n",
    "other-protocol": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "http-0.9": b"GET /\r\n\r\n",
    "http-1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown-method": b"HACK / HTTP/1.1\r\nHost: a\r\n\r\n",
    "negative-chunk": _CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "0x-chunk": _CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "underscore-chunk": _CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n",
    "spaced-chunk": _CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "endless-chunk": _CHUNKED + b"fffffffffffffffff\r\nabc",
    "chunk-too-short": _CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk-bare-lf": _CHUNKED + b"3\nabc\n0\n\n",
    "chunk-without-size": _CHUNKED + b"\r\nabc\r\n",
}


@pytest.mark.parametrize("raw", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_what_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    """Exactly one answer, 400, and the connection is over: nothing is left to smuggle."""
    async with running(echo) as server:
        wire = await server.exchange(raw)
        assert wire.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert len(re.findall(rb"HTTP/1.1 \d", wire)) == 1
        (answer,) = bodies(wire)
        assert answer["error"]["code"] == "bad_request"
        assert server.front.refused["bad_request"] == 1
        assert not server.faults


async def test_a_refusal_has_openais_shape_and_a_request_id() -> None:
    """An SDK shows its message; the id is a UUIDv7 like every request's."""
    async with running(echo) as server:
        wire = await server.exchange(b"GET /../ HTTP/1.1\r\nHost: a\r\n\r\n")
    (answer,) = bodies(wire)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] is None
    assert re.search(rb"\r\nx-request-id: req_[0-9a-f]{12}7[0-9a-f]{19}\r\n", wire)
    assert b"\r\nconnection: close\r\n" in wire
    assert b"\r\nserver:" not in wire


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b"GET /" + b"a" * 8_192 + b" HTTP/1.1\r\nHost: a\r\n\r\n"], 414),
        ([b"GET /" + b"a" * 100_000], 414),
        ([_GET + b"x: y\r\n" * 100 + b"\r\n"], 431),
        ([_GET + b"x: " + b"y" * 33_000 + b"\r\n\r\n"], 431),
        ([_GET + b"x: " + b"y" * 3_000_000 + b"\r\n\r\n"], 431),
        ([_GET + b"x: ", *[b"y" * 10_000] * 6], 431),
        ([_GET, *[b"x: " + b"y" * 5_000 + b"\r\n"] * 9], 431),
        ([_CHUNKED + b"3\r\nabc\r\n0\r\nx: ", *[b"y" * 10_000] * 6], 431),
        ([_CHUNKED + b"3;", *[b"y" * 10_000] * 6], 431),
    ],
    ids=[
        "target",
        "endless-target",
        "header-count",
        "header-size",
        "much-unread-behind-the-limit",
        "endless-header",
        "all-headers",
        "endless-trailer",
        "endless-chunk-extension",
    ],
)
async def test_heads_are_bounded(parts: list[bytes], status: int) -> None:
    """What a client sends ahead of its body costs a bounded amount of memory."""
    async with running(echo) as server:
        wire = await server.exchange(*parts)
        assert wire.startswith(b"HTTP/1.1 %d " % status)
        assert bodies(wire)[0]["error"]["type"] == "invalid_request_error"


async def test_limits_are_inclusive() -> None:
    """A request at the limits passes."""
    target = b"/" + b"a" * 8_191
    head = b"GET %s HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n" % (target, b"x: y\r\n" * 98)
    async with running(echo) as server:
        (told,) = bodies(await server.exchange(head))
    assert len(told["raw_path"]) == 8_192
    assert len(told["headers"]) == 100


async def test_a_request_reaches_the_application_as_it_was_sent() -> None:
    """The path is decoded once; header names are lower case; the rest is untouched."""
    raw = (
        b"POST /v1/a%20b?x=%2F&y HTTP/1.1\r\nHost: a:8080\r\nX-Y:  z \r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"
    )
    async with running(echo) as server:
        (told,) = bodies(await server.exchange(raw))
    assert told["path"] == "/v1/a b"
    assert told["raw_path"] == "/v1/a%20b"
    assert told["query"] == "x=%2F&y"
    assert told["body"] == "abc"
    assert told["headers"][:2] == [["host", "a:8080"], ["x-y", "z"]]


@pytest.mark.parametrize(
    "target", [b"/.well-known/x", b"/a/..b", b"/a/...", b"/a.b", b"//a", b"/a?../b", b"/%7Ea"]
)
async def test_innocent_targets_pass(target: bytes) -> None:
    """Only whole segments of dots are refused."""
    async with running(echo) as server:
        raw = b"GET " + target + b" HTTP/1.1\r\nHost: [::1]:80\r\n" + _CLOSE
        (told,) = bodies(await server.exchange(raw))
    assert told["raw_path"].encode() == target.partition(b"?")[0]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1%2Fmodels", "/v1%2Fmodels"),
        (b"/v1%2fmodels", "/v1%2Fmodels"),
        (b"/v1/m%2Fn%20o", "/v1/m%2Fn o"),
        (b"/v1/%252F", "/v1/%2F"),
        (b"/v1/%c3%a4", "/v1/\u00e4"),
    ],
)
async def test_an_encoded_slash_separates_nothing(target: bytes, path: str) -> None:
    """A proxy that checks paths does not decode it either."""
    async with running(echo) as server:
        raw = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + _CLOSE
        (told,) = bodies(await server.exchange(raw))
    assert told["path"] == path


async def test_a_chunked_body_in_single_bytes_arrives_whole() -> None:
    """The network may cut anywhere."""
    raw = _CHUNKED + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with running(echo) as server:
        (told,) = bodies(await server.exchange(*[raw[at : at + 1] for at in range(len(raw))]))
    assert told["body"] == "abcde"
    assert "x-trailer" not in dict(told["headers"])


async def test_requests_in_one_write_are_answered_in_order() -> None:
    """Pipelining is legal; each gets its own answer."""
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5))
    async with running(echo) as server:
        told = bodies(await server.exchange(raw + b"GET /last HTTP/1.1\r\nHost: a\r\n" + _CLOSE))
    assert [each["path"] for each in told] == ["/0", "/1", "/2", "/3", "/4", "/last"]


async def test_a_bad_request_behind_a_good_one_does_not_spoil_its_answer() -> None:
    """The good one is answered whole, then the connection ends; the bad one never runs."""
    async with running(echo) as server:
        wire = await server.exchange(_GET + b"\r\nGET /../x HTTP/1.1\r\nHost: a\r\n\r\n")
    (told,) = bodies(wire)
    assert told["path"] == "/"


async def test_the_pipeline_is_bounded() -> None:
    """A client cannot queue work without end."""
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50))
    async with running(echo, max_pipelined=3) as server:
        told = bodies(await server.exchange(raw))
    assert len(told) == 4


async def test_bytes_behind_the_last_request_are_dropped() -> None:
    """Connection: close means what it says."""
    async with running(echo) as server:
        told = bodies(await server.exchange(_GET + _CLOSE + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert [each["path"] for each in told] == ["/"]


async def test_an_offer_to_upgrade_is_ignored_and_the_body_kept() -> None:
    """Java's client offers HTTP/2 on plain connections; its request is an ordinary one."""
    raw = (
        b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 3\r\n"
        b"Host: a\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\nUpgrade: h2c\r\n\r\nabc"
    )
    async with running(echo) as server:
        told = bodies(await server.exchange(raw[:60], raw[60:] + _GET + _CLOSE))
    assert [(each["path"], each["body"]) for each in told] == [("/a", "abc"), ("/", "")]
    assert dict(told[0]["headers"]).keys() == {"host", "content-length"}


async def test_an_http_1_0_client_is_served_without_a_host() -> None:
    """Old health checks speak so."""
    async with running(echo) as server:
        (told,) = bodies(await server.exchange(b"GET /healthz HTTP/1.0\r\n\r\n"))
    assert told["path"] == "/healthz"


async def test_expect_100_continue_is_answered_before_the_body() -> None:
    """The client sends its body only then."""
    async with running(echo) as server:
        reader, writer = await server.connect()
        writer.write(_POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n" + _CLOSE)
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"abc")
        assert b'"body": "abc"' in await reader.read()
        writer.close()


async def test_a_bad_chunk_behind_a_started_answer_cuts_it() -> None:
    """A refusal inside another answer would be read as its body."""
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with running(app) as server:
        reader, writer = await server.connect()
        writer.write(_CHUNKED)
        await started.wait()
        writer.write(b"zz\r\n")
        wire = await reader.read()
        writer.close()
    assert wire.endswith(b"4\r\nhalf\r\n")
    assert not server.faults


async def test_the_head_goes_out_before_the_application_has_a_body() -> None:
    """A stream's client learns the status while the model thinks."""
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with running(app) as server:
        reader, writer = await server.connect()
        writer.write(_GET + _CLOSE)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        go_on.set()
        assert await reader.read() == b"4\r\nlate\r\n0\r\n\r\n"
        writer.close()


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("GET", 200, [(b"content-length", b"2")], b"hi"),
        ("GET", 200, [], b"2\r\nhi\r\n0\r\n\r\n"),
        ("GET", 200, [(b"transfer-encoding", b"chunked")], b"2\r\nhi\r\n0\r\n\r\n"),
        ("HEAD", 200, [(b"content-length", b"2")], b""),
        ("GET", 304, [], b""),
    ],
)
async def test_answers_are_framed(
    method: str, status: int, headers: list[tuple[bytes, bytes]], expected: bytes
) -> None:
    """By length where the application knows it, else in chunks; a HEAD has no body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if status == 304 else b"hi"
        await send({"type": "http.response.body", "body": body})

    async with running(app) as server:
        raw = method.encode() + b" / HTTP/1.1\r\nHost: a\r\n" + _CLOSE
        wire = await server.exchange(raw)
    head, _, body = wire.partition(b"\r\n\r\n")
    assert body == expected
    assert head.count(b"transfer-encoding") == (b"0\r\n\r\n" in expected)
    assert not server.faults


class TestFaults:
    """What the application raises stays inside."""

    async def test_an_exception_is_answered_500_without_its_text(self) -> None:
        """The text could hold a prompt; only the handler of faults sees the exception."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise RuntimeError("the secret prompt")

        async with running(app) as server:
            wire = await server.exchange(_GET + b"\r\n")
            assert wire.startswith(b"HTTP/1.1 500 ")
            assert bodies(wire)[0]["error"]["code"] == "internal_error"
            assert b"secret" not in wire
            assert [type(fault) for fault in server.faults] == [RuntimeError]

    async def test_an_exception_inside_an_answer_cuts_it(self) -> None:
        """Half an answer must not look whole."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError

        async with running(app) as server:
            wire = await server.exchange(_GET + b"\r\n")
            assert wire.endswith(b"4\r\nhalf\r\n")
            assert len(server.faults) == 1

    async def test_an_exception_before_a_byte_is_out_is_answered_500(self) -> None:
        """The head that the application began is not on the wire yet."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError

        async with running(app) as server:
            wire = await server.exchange(_GET + b"\r\n")
            assert wire.startswith(b"HTTP/1.1 500 ")
            assert bodies(wire)[0]["error"]["code"] == "internal_error"

    async def test_an_answer_that_is_cut_on_purpose_is_no_fault(self) -> None:
        """What was written goes out, then the connection closes without a clean end."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["path"] == "/body":
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise AnswerCut

        async with running(app) as server:
            wire = await server.exchange(b"GET /body HTTP/1.1\r\nHost: a\r\n\r\n")
            assert wire.endswith(b"\r\n\r\n4\r\nhalf\r\n")
            wire = await server.exchange(_GET + b"\r\n")
            assert wire.startswith(b"HTTP/1.1 200 ")
            assert wire.endswith(b"\r\n\r\n")
            assert not server.faults

    @pytest.mark.parametrize(
        "header",
        [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x\r\ny", b"a"), (b"x", b"\0")],
    )
    async def test_a_header_that_would_split_the_answer_is_a_fault(
        self, header: tuple[bytes, bytes]
    ) -> None:
        """An upstream's header, passed on, cannot add one of its own."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [header]})
            await send({"type": "http.response.body", "body": b"hi"})

        async with running(app) as server:
            wire = await server.exchange(_GET + b"\r\n")
            assert wire.startswith(b"HTTP/1.1 500 ")
            assert b"cookie" not in wire

    @pytest.mark.parametrize("body", [b"x", b"xxx"])
    async def test_a_body_of_another_length_is_a_fault(self, body: bytes) -> None:
        """A client would wait for the rest, or take it for the next answer."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            length = (b"content-length", b"2")
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": body})

        async with running(app) as server:
            assert (await server.exchange(_GET + b"\r\n")).startswith(b"HTTP/1.1 500 ")
            assert len(server.faults) == 1

    async def test_an_application_that_forgets_to_answer_is_a_fault(self) -> None:
        """The client is not left waiting."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            return

        async with running(app) as server:
            assert (await server.exchange(_GET + b"\r\n")).startswith(b"HTTP/1.1 500 ")
            assert len(server.faults) == 1

    async def test_nothing_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """Neither requests nor refusals nor faults leave a line by way of uvicorn."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise RuntimeError("the secret prompt")

        caplog.set_level(0)
        async with running(app) as server:
            await server.exchange(b"GET /?secret HTTP/1.1\r\nHost: a\r\n\r\n")
            await server.exchange(b"nonsense secret\r\n\r\n")
        assert "secret" not in caplog.text

"""Candidates in order until one answers; over real sockets, to upstreams of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field, replace

import pytest

from edge.admission.catalog import Candidate, Dialect, Policy, Upstream
from edge.upstream.attempts import (
    Answer,
    Attempts,
    Endpoints,
    Failure,
    class_of_status,
    timeouts_of,
)
from edge.upstream.client import UpstreamClient
from edge.upstream.message import Timeouts, UpstreamRequest, encode_head
from edge.upstream.routing import Router
from kit.clock import SystemClock
from oneapi.metering.v1.usage_record_pb2 import ErrorClass

PLAIN = Policy()
ENDLESS = b"HTTP/1.1 500 Status\r\ncontent-length: 10\r\n\r\n{"
"""An error whose body never ends."""
SILENT = b"HTTP/1.1 200 Status\r\n"
"""An answer that never comes to the end of its head."""
CREDENTIAL = b"sk-sesame"
PATH = b"/chat/completions"
NOTHING_SPECIAL = (1, True, False, False, CREDENTIAL)
"""Dialect, a terminal frame, no drain, no bill for the refused, a credential."""


def answer(status: int, body: bytes = b"{}", extra: bytes = b"") -> bytes:
    """Return a whole HTTP answer."""
    head = b"HTTP/1.1 %d Status\r\ncontent-length: %d\r\n%s\r\n" % (status, len(body), extra)
    return head + body


@dataclass
class World:
    """Upstreams that give one fixed answer each, and a client."""

    client: UpstreamClient
    servers: list[asyncio.Server] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    router: Router = field(default_factory=lambda: Router(SystemClock()))
    runs: list[Attempts] = field(default_factory=list)
    """The attempts of each request."""
    dialect: int = NOTHING_SPECIAL[0]

    async def candidate(self, reply: bytes) -> Candidate:
        """Start an upstream; an empty reply closes the connection, one without an end waits on."""
        number = len(self.servers) + 1

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            self.asked.append(number)
            writer.write(reply)
            if reply in (ENDLESS, SILENT):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.servers.append(server)
        port = server.sockets[0].getsockname()[1]
        base_url = f"http://127.0.0.1:{port}/v1"
        upstream = Upstream(number, f"up{number}", base_url, self.dialect, *NOTHING_SPECIAL[1:])
        return Candidate(upstream, "model", 1, number, 5.0, 5.0)

    def attempts(self) -> Attempts:
        """Return the attempts of a new request."""
        clock = SystemClock()
        self.runs.append(Attempts(self.client, self.router, clock, clock.monotonic()))
        return self.runs[-1]

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something to happen, half a minute at most."""
        async with asyncio.timeout(30):
            while not happened():  # noqa: ASYNC110  it is told by nobody
                await asyncio.sleep(0.01)

    async def run(
        self,
        *replies: bytes,
        is_over: Callable[[], bool] = lambda: False,
        full: Collection[int] = (),
        policy: Policy = PLAIN,
    ) -> tuple[Answer | Failure, Attempts]:
        """Ask upstreams with these replies in order."""
        candidates = [await self.candidate(reply) for reply in replies]
        candidates = [replace(one, max_running=1) for one in candidates]
        for number in full:
            await self.router.capacity.enter(candidates[number], PLAIN)
        attempts, endpoints = self.attempts(), Endpoints()

        def build(candidate: Candidate) -> UpstreamRequest:
            return endpoints.of(candidate.upstream, PATH).request(b"{}", timeouts_of(candidate))

        found = await attempts.run(candidates, policy, build, is_over)
        if isinstance(found, Answer):
            found.response.cancel()
        return found, attempts


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Give a world and end it."""
    found = World(UpstreamClient())
    yield found
    await found.client.aclose()
    for server in found.servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.DIALECT_OPENAI, b'{"error":{"details":[{"reason": "API_KEY_INVALID"}]}}'),
        (Dialect.DIALECT_GOOGLE, b'{"error":{"message":"field \\"API_KEY_INVALID\\" "API_KEY'),
        (Dialect.DIALECT_GOOGLE, b'{"error":{"details":[{"x":"API_KEY_INVALID"}]}}'),
    ],
)
async def test_a_client_cannot_make_its_mistake_look_like_our_key(
    world: World, dialect: int, body: bytes
) -> None:
    """Providers repeat names of unknown fields: only Google's own reason is about our key."""
    world.dialect = dialect
    found, _ = await world.run(answer(400, body), answer(200))
    assert isinstance(found, Failure)
    assert found.error_class == ErrorClass.ERROR_CLASS_UPSTREAM_REFUSED


@pytest.mark.parametrize("status", [401, 403, 408, 409, 429, 500, 503, 529])
async def test_what_is_about_us_leads_to_the_next_candidate(world: World, status: int) -> None:
    """Another upstream may do better."""
    found, attempts = await world.run(answer(status), answer(200))
    assert isinstance(found, Answer)
    assert found.candidate.upstream.number == 2
    assert [made.http_status for made in attempts.made] == [status, 200]


async def test_a_refusal_of_our_key_leads_to_the_next_candidate_whatever_its_status(
    world: World,
) -> None:
    """Google says 400, as to a client's mistake; no client is told of our key."""
    reason = b'{"error":{"code":400,"details":[{"reason": "API_KEY_INVALID"}]}}'
    world.dialect = Dialect.DIALECT_GOOGLE
    found, attempts = await world.run(answer(400, reason), answer(200))
    assert isinstance(found, Answer)
    refused = ErrorClass.ERROR_CLASS_UPSTREAM_AUTH
    assert [(made.http_status, made.error_class) for made in attempts.made] == [
        (400, refused),
        (200, ErrorClass.ERROR_CLASS_UNSPECIFIED),
    ]
    found, _ = await world.run(answer(400, reason))
    assert isinstance(found, Failure)
    assert found.error_class == refused


@pytest.mark.parametrize(
    ("body", "extra", "told"),
    [
        (b"{}", b"retry-after: 7\r\n", b"7"),
        (b'{"error":{"details":[{"retryDelay": "17.5s"}]}}', b"", b"17"),
        (b'{"error":{"details":[{"retryDelay": "17s"}]}}', b"retry-after: 7\r\n", b"7"),
        (b'{"error":{"details":[{"retryDelay": "soon"}]}}', b"", None),
    ],
)
async def test_when_to_come_again_is_in_the_head_or_in_googles_body(
    world: World, body: bytes, extra: bytes, told: bytes | None
) -> None:
    """The head counts first."""
    found, _ = await world.run(answer(429, body, extra))
    assert isinstance(found, Failure)
    assert found.retry_after == told


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_is_about_the_client_s_request_ends_the_attempts(
    world: World, status: int
) -> None:
    """The same request would be refused elsewhere as well, and might be billed twice."""
    found, _ = await world.run(answer(status, b'{"error":{}}'), answer(200))
    assert isinstance(found, Failure)
    assert (found.status, found.body) == (status, b'{"error":{}}')
    assert world.asked == [1]


async def test_an_error_that_repeats_our_credential_is_not_told(world: World) -> None:
    """Some providers echo the request, headers and all; no client may read our credential."""
    echo = b'{"error":{"message":"You sent Authorization: Bearer ' + CREDENTIAL + b'"}}'
    found, _ = await world.run(answer(400, echo))
    assert isinstance(found, Failure)
    assert (found.status, found.body) == (400, b"")


async def test_a_connection_that_closes_leads_to_the_next_candidate(world: World) -> None:
    """Nothing of an answer was seen."""
    found, attempts = await world.run(b"", answer(200))
    assert isinstance(found, Answer)
    assert attempts.made[0].error_class != ErrorClass.ERROR_CLASS_UNSPECIFIED


@pytest.mark.parametrize("reply", [answer(302), answer(200, extra=b"content-encoding: gzip\r\n")])
async def test_an_answer_that_is_none_leads_to_the_next_candidate(
    world: World, reply: bytes
) -> None:
    """A redirect, or an encoding that we did not ask for."""
    found, attempts = await world.run(reply, answer(200))
    assert isinstance(found, Answer)
    assert attempts.made[0].error_class == ErrorClass.ERROR_CLASS_PROTOCOL


@pytest.mark.parametrize("reply", [b"", answer(400), answer(500)])
async def test_an_upstream_that_failed_is_at_work_no_more(world: World, reply: bytes) -> None:
    """A client that leaves afterwards is not charged for it."""
    _, attempts = await world.run(reply)
    assert attempts.current is None


async def test_a_client_that_leaves_in_the_queue_leaves_no_upstream_at_work(world: World) -> None:
    """The candidate before has failed, and the next one was not asked."""
    waiting = Policy(queue_wait_seconds=5.0)
    running = asyncio.create_task(world.run(answer(500), answer(200), full=[1], policy=waiting))
    await world.until(lambda: bool(world.runs and world.runs[0].made))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (attempts,) = world.runs
    assert (len(attempts.made), attempts.current) == (1, None)


@pytest.mark.parametrize(("reply", "at_work"), [(SILENT, True), (ENDLESS, False)])
async def test_only_an_upstream_that_has_not_failed_may_bill_a_client_that_leaves(
    world: World, reply: bytes, *, at_work: bool
) -> None:
    """It was asked and may work on; not so one that is still telling its error."""
    running = asyncio.create_task(world.run(reply))
    await world.until(lambda: bool(world.asked))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (attempts,) = world.runs
    assert (len(attempts.made), attempts.current is not None) == (1, at_work)


async def test_the_last_failure_is_told(world: World) -> None:
    """With what the upstream says of the time to wait."""
    found, _ = await world.run(answer(500), answer(429, extra=b"retry-after: 7\r\n"))
    assert isinstance(found, Failure)
    assert found.error_class == ErrorClass.ERROR_CLASS_UPSTREAM_RATE_LIMITED
    assert found.retry_after == b"7"


async def test_nobody_is_asked_once_nobody_waits(world: World) -> None:
    """A client that left causes no further attempt."""
    found, attempts = await world.run(answer(200), is_over=lambda: True)
    assert isinstance(found, Failure)
    assert (world.asked, attempts.made) == ([], [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (204, ErrorClass.ERROR_CLASS_PROTOCOL),
        (302, ErrorClass.ERROR_CLASS_PROTOCOL),
        (400, ErrorClass.ERROR_CLASS_UPSTREAM_REFUSED),
        (401, ErrorClass.ERROR_CLASS_UPSTREAM_AUTH),
        (402, ErrorClass.ERROR_CLASS_UPSTREAM_AUTH),
        (429, ErrorClass.ERROR_CLASS_UPSTREAM_RATE_LIMITED),
        (500, ErrorClass.ERROR_CLASS_UPSTREAM_FAILED),
        (529, ErrorClass.ERROR_CLASS_UPSTREAM_FAILED),
    ],
)
def test_each_status_has_its_class(status: int, expected: ErrorClass.ValueType) -> None:
    """The record says what kind of failure it was."""
    assert class_of_status(status) == expected


def test_an_endpoint_is_made_anew_when_its_upstream_changes() -> None:
    """A rotated credential takes effect with the next request, and the old one is forgotten."""
    endpoints = Endpoints()
    first, second = (
        Upstream(7, "up", "http://127.0.0.1:1/v1", *NOTHING_SPECIAL[:-1], credential)
        for credential in (b"one", b"two")
    )
    assert endpoints.of(first, PATH) is endpoints.of(first, PATH)
    request = endpoints.of(second, PATH).request(b"{}", Timeouts(1, 1, 1))
    assert encode_head(request) == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"
        b"content-type: application/json\r\nauthorization: Bearer two\r\n"
        b"accept-encoding: identity\r\ncontent-length: 2\r\n\r\n"
    )


async def test_a_full_candidate_is_passed_over(world: World) -> None:
    """Without a wait, where the route has no patience; nothing is sent there, none is noted."""
    found, attempts = await world.run(answer(200), answer(200), full=[0])
    assert isinstance(found, Answer)
    assert (world.asked, len(attempts.made)) == ([2], 1)


async def test_where_all_are_full_the_request_is_told_so(world: World) -> None:
    """Nobody was asked."""
    found, attempts = await world.run(answer(200), answer(200), full=[0, 1])
    assert found == Failure(ErrorClass.ERROR_CLASS_NO_CAPACITY)
    assert (world.asked, attempts.made) == ([], [])


async def test_a_failure_tells_more_than_a_full_candidate(world: World) -> None:
    """What an upstream said is told, not that another one had no room."""
    found, _ = await world.run(answer(500), answer(200), full=[1])
    assert isinstance(found, Failure)
    assert found.error_class == ErrorClass.ERROR_CLASS_UPSTREAM_FAILED


async def test_a_request_runs_at_one_upstream_until_it_leaves(world: World) -> None:
    """Failed attempts give their place back at once."""
    found, attempts = await world.run(answer(500), answer(200))
    assert isinstance(found, Answer)
    assert attempts.place is world.router.capacity.at(found.candidate)
    assert world.router.capacity.running() == 1
    attempts.leave()
    attempts.leave()
    assert world.router.capacity.running() == 0

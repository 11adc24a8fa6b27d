"""The HTTP front of a worker: uvicorn's parser and flow, with deadlines, limits and refusals.

uvicorn bounds neither the time nor the size of what a client sends before the application sees it.
Here every wait has a deadline, every buffer a bound, and what could be read in two ways is refused.
One timer per connection, re-armed only when it fires too early or would fire too late.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from edge.server.cycle import Arrival, Cycle
from edge.server.front import Front
from edge.server.head import path_of, refuse_head, without_upgrade
from edge.server.refusal import (
    HEADERS_TOO_LARGE,
    MALFORMED,
    TARGET_TOO_LONG,
    TIMED_OUT,
    TOO_MANY_CONNECTIONS,
    Refusal,
)


class Wait(Enum):
    """What a connection waits for from its client."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"
    NEXT = "next"  # a next request on a kept connection
    LINGER = "linger"  # the rest of a body whose request is answered


class _Refused(Exception):
    """Stops the parser; the reason is on the connection."""


class _Flow(FlowControl):
    """Restarts the body's deadline when we read on: the silence before was ours."""

    def __init__(self, transport: asyncio.Transport, protocol: FrontProtocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if self.read_paused:
            super().resume_reading()
            self._protocol.on_reading_resumed()


class FrontProtocol(HttpToolsProtocol):
    """One client's connection. The names of the `on_` methods are the parser's."""

    cycle: Cycle | None  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        front: Front,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False
        self._front = front
        self._limits = front.limits
        # With requests queued behind it, the one that runs is not the latest, `self.cycle`.
        self._running: RequestResponseCycle | None = None
        self._refusal: Refusal | None = None
        self._wait = Wait.HEAD
        self._in_head = False
        self._in_body = False
        self._body_arrived = False
        self._header_bytes = 0
        self._sizeless_bytes = 0
        self._upgrade_offered = False
        self._input_closed = False
        self._unsent_bytes = 0
        self._behind_at = 0.0
        self._behind_bytes = 0
        self._read_deadline = math.inf
        self._body_deadline = math.inf
        self._write_deadline = math.inf
        self._armed_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # Connections.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and refuse it if there are too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        front = self._front
        front.accepted_connections += 1
        front.open_connections += 1
        if front.open_connections > self._limits.max_connections:
            self._answer(TOO_MANY_CONNECTIONS)
            transport.close()  # no time for good manners
            return
        self._wait_for(Wait.HEAD, self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the applications of this connection that the client is gone."""
        self._front.open_connections -= 1
        self._stop_timer()
        for cycle in (self._running, *(queued for queued, _ in self.pipeline)):
            if isinstance(cycle, Cycle) and not cycle.response_complete:
                cycle.hang_up()
        super().connection_lost(exc)
        # A connection's objects refer to each other: what they hold of requests must not wait with
        # them for the garbage collector.
        self.cycle = self._running = None
        self.pipeline.clear()
        self.headers = []
        self.scope = {}  # type: ignore[typeddict-item]

    def shutdown(self) -> None:
        """Let what runs end, then close; the server calls this when it drains.

        An answer whose head is out has not said that it is the last one. Its connection stays for
        one more: closed, it could cut off a request that is on its way.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = self.cycle.keep_alive and self.cycle.response_started
        elif self._front.stopping and not self._in_head and not self._in_body:
            self._wait_for_next()

    # Input.

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; refuse what is wrong with it."""
        if self._input_closed:
            return
        self._body_arrived = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            if not self._input_closed:
                self._refuse(self._refusal or MALFORMED)
            return
        self._bound_sizeless(len(data))
        if not self._input_closed:
            self._renew_read_deadline()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        head = without_upgrade(self._method(), self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self._upgrade_offered = False
        self.data_received(head + rest)

    def _method(self) -> bytes:
        method: bytes = self.parser.get_method()
        return method

    def _bound_sizeless(self, count: int) -> None:
        """Bound what arrives without a byte of body: heads, trailers, chunk extensions."""
        if self._body_arrived or not (self._in_head or self._in_body):
            self._sizeless_bytes = 0
            return
        self._sizeless_bytes += count
        if self._sizeless_bytes > self._limits.max_header_bytes + self._limits.max_target_bytes:
            self._refuse(HEADERS_TOO_LARGE)

    def _renew_read_deadline(self) -> None:
        if self._in_head:
            if self._wait is not Wait.HEAD:
                self._wait_for(Wait.HEAD, self._limits.header_seconds)
        elif self._wait is Wait.BODY and (self._body_arrived or self._read_deadline == math.inf):
            self._wait_for_body()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request; one behind a last request is parsed, queued and never run."""
        self._in_head = True
        self._header_bytes = 0
        self._sizeless_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Gather the request target, within its limit."""
        self.url += url
        if len(self.url) > self._limits.max_target_bytes:
            self._stop(TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within the limits; a trailer is counted and dropped."""
        self._header_bytes += len(name) + len(value) + 4
        if (
            self._header_bytes > self._limits.max_header_bytes
            or len(self.headers) >= self._limits.max_header_count
        ):
            self._stop(HEADERS_TOO_LARGE)
        if self._in_head:
            name, value = name.lower(), value.rstrip(b" \t")
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and start the application, or queue the request behind another."""
        parser = self.parser
        version: str = parser.get_http_version()
        refusal = refuse_head(version, self.url, self.headers)
        if refusal is not None:
            self._stop(refusal)
        if len(self.pipeline) >= self._limits.max_pipelined:
            self._stop(MALFORMED)
        if parser.should_upgrade():
            self._upgrade_offered = True
            return
        self._in_head, self._in_body = False, True
        # Most requests are whole in one read: the deadline is set only if this one is not.
        self._wait, self._read_deadline, self._body_deadline = Wait.BODY, math.inf, math.inf
        self._fill_scope(version)
        keep_alive = version == "1.1" and parser.should_keep_alive() and not self._front.draining
        self._start(self._new_cycle(keep_alive=keep_alive))

    def _fill_scope(self, version: str) -> None:
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        scope = self.scope
        scope["method"] = self._method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = self.root_path + (path_of(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = query

    def _new_cycle(self, *, keep_alive: bool) -> Cycle:
        return Cycle(
            loop=self.loop,
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            default_headers=self.server_state.default_headers,
            message_event=Arrival(self.loop),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
            on_fault=self._front.on_fault,
            close=self.close,
        )

    def _start(self, cycle: Cycle) -> None:
        latest, self.cycle = self.cycle, cycle
        if latest is None or latest.response_complete:
            self._run(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _run(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body to the application, reading on only as it takes them."""
        self._body_arrived = True
        cycle = self.cycle
        assert cycle is not None
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self._upgrade_offered:
            return
        self._in_body = False
        cycle = self.cycle
        assert cycle is not None
        if cycle.response_complete:
            self._wait_for_next()
            return
        self._wait, self._read_deadline = Wait.NOTHING, math.inf
        cycle.more_body = False
        cycle.message_event.set()

    def _wait_for_next(self) -> None:
        limits = self._limits
        stopping = self._front.stopping
        self._wait_for(
            Wait.NEXT, limits.stop_idle_seconds if stopping else limits.keep_alive_seconds
        )

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _Refused

    # Refusals.

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal if it can be told apart from other answers, else cut."""
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and not self._in_body):
            self._answer(refusal)
        elif self._in_head:
            # Answers come in the order of requests: end after the one that is running.
            self._input_closed = True
            cycle.keep_alive = False
        elif cycle.response_started or self.pipeline:
            self._cut()  # anything more would be read as part of another answer
        else:
            cycle.hang_up()
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        """Write the refusal and let the client finish sending: a close would reset it unread."""
        self._front.refused[refusal.code] += 1
        self._input_closed = True
        self.transport.write(refusal.render(self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._wait_for(Wait.LINGER, self._limits.linger_seconds)

    def _cut(self) -> None:
        self._input_closed = True
        self.transport.abort()

    # Output.

    def on_response_complete(self) -> None:
        """Go on to the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._wait_for(Wait.NOTHING, math.inf)
            self._watch_unsent()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._run(*self.pipeline.pop())
        elif self._in_body:
            self._wait_for(Wait.LINGER, self._limits.linger_seconds)
        elif not self._in_head:
            self._wait_for_next()

    def close(self) -> None:
        """Close the connection once the client has what was written, for which it must not wait."""
        self.transport.close()
        self._watch_unsent()

    def pause_writing(self) -> None:
        """The client takes our bytes more slowly than we write them."""
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._write_deadline = math.inf
        if self.transport.is_closing():
            # Nothing more is written, and the rest is not to be kept for ever either.
            self._watch_unsent()

    def _watch_unsent(self) -> None:
        """Measure from now on how fast the client takes what waits for it."""
        self._behind_at = self.loop.time()
        self._behind_bytes = self.transport.get_write_buffer_size()
        self._wait_for_progress(self._behind_bytes)

    def _wait_for_progress(self, unsent_bytes: int) -> None:
        self._unsent_bytes = unsent_bytes
        if unsent_bytes:
            self._write_deadline = self.loop.time() + self._limits.write_stall_seconds
            self._arm(self._write_deadline)

    # Time.

    def on_reading_resumed(self) -> None:
        """Give the body its full time again."""
        if self._wait is Wait.BODY:
            self._wait_for_body()

    def _wait_for_body(self) -> None:
        now = self.loop.time()
        if self._body_deadline == math.inf:
            self._body_deadline = now + self._limits.body_seconds
        self._wait_for(Wait.BODY, min(self._limits.body_idle_seconds, self._body_deadline - now))

    def _wait_for(self, wait: Wait, seconds: float) -> None:
        self._wait = wait
        self._read_deadline = self.loop.time() + seconds
        self._arm(self._read_deadline)

    def _arm(self, when: float) -> None:
        if when < self._armed_at:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_at = when
            self._timer = self.loop.call_at(when, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._read_deadline = self._write_deadline = math.inf

    def _on_timer(self) -> None:
        self._timer, self._armed_at = None, math.inf
        now = self.loop.time()
        if now >= self._write_deadline:
            self._on_write_deadline()
        if now >= self._read_deadline:
            self._on_read_deadline()
        self._arm(min(self._read_deadline, self._write_deadline))

    def _on_write_deadline(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._write_deadline = math.inf
        if unsent and (unsent >= self._unsent_bytes or self._takes_too_slowly(unsent)):
            self._front.missed["write"] += 1
            self._cut()
            self._stop_timer()
        else:
            self._wait_for_progress(unsent)

    def _takes_too_slowly(self, unsent_bytes: int) -> bool:
        """Say whether the client fell below the least rate since it fell behind."""
        limits = self._limits
        seconds = self.loop.time() - self._behind_at - limits.write_stall_seconds
        return self._behind_bytes - unsent_bytes < limits.min_take_bytes_per_second * seconds

    def _on_read_deadline(self) -> None:
        wait = self._wait
        if wait is Wait.BODY and self.flow.read_paused:
            self._wait_for(wait, self._limits.body_idle_seconds)
            return
        if wait is Wait.NEXT and self.transport.get_write_buffer_size():
            self._wait_for_taker()
            return
        self._read_deadline = math.inf
        if wait is Wait.NOTHING:
            return
        if wait in {Wait.HEAD, Wait.BODY}:
            self._front.missed[wait.value] += 1
        if wait is Wait.BODY or (wait is Wait.HEAD and self._in_head):
            self._refuse(TIMED_OUT)
        else:
            self._hang_up()

    def _wait_for_taker(self) -> None:
        """Wait for a next request only from when the last answer was taken, however slowly."""
        if self._write_deadline == math.inf:
            self._watch_unsent()  # too little to have made the application wait
        self._wait_for_next()

    def _hang_up(self) -> None:
        """Close a connection that owes nobody an answer; cut it if even the last is not taken."""
        if self.transport.get_write_buffer_size():
            self._cut()
        else:
            self.transport.close()

"""A provider that remembers every request by its number, and counts differently for each.

`python -m tests.chaos.exactly_once.provider` is the outside provider as a process of its own. The
last message of a request says what it gets: `number=17 events=5 pace_ms=40`. Input is counted as
`INPUT_BASE + number` tokens, output as a token an event, so no two answers cost the same.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import httpx
import uvloop

from edge.demo.server import Reply, Request, Server
from tests.support.links.orders import announce
from tests.support.server_process import ServerProcess

INPUT_BASE: Final = 100_000
CALLS_PATH: Final = "/calls"
_READ_SECONDS: Final = 30.0
_EVENTS: Final = ((b"content-type", b"text/event-stream"),)
_JSON: Final = ((b"content-type", b"application/json"),)


@dataclass(slots=True)
class Call:
    """What became of the requests with one number."""

    number: int
    asked: int = 0
    events_sent: int = 0
    running: bool = False
    whole: bool = False


class Provider:
    """The memory of the process."""

    def __init__(self) -> None:
        """Begin empty."""
        self.calls: dict[int, Call] = {}

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request, or say what was asked so far."""
        if request.path == CALLS_PATH:
            every = [asdict(call) for call in self.calls.values()]
            reply.send(200, json.dumps(every).encode(), _JSON)
            return
        body = json.loads(request.body)
        wanted = dict(pair.split("=") for pair in body["messages"][-1]["content"].split())
        number, events = int(wanted["number"]), int(wanted["events"])
        call = self.calls.setdefault(number, Call(number))
        call.asked += 1
        call.running = True
        try:
            deliver = _stream if body.get("stream") else _whole
            await deliver(reply, call, events, int(wanted["pace_ms"]) / 1000)
            call.whole = True
        finally:
            call.running = False


async def _stream(reply: Reply, call: Call, events: int, pace_seconds: float) -> None:
    reply.start(200, _EVENTS)
    for _ in range(events):
        call.events_sent += 1
        reply.write_chunk(_event(_chunk({"content": "blue "}, None)))
        await reply.drain()
        await asyncio.sleep(pace_seconds)
    reply.write_chunk(_event(_chunk({}, "stop")))
    usage = {**_chunk({}, None), "choices": [], "usage": _usage(call.number, events)}
    reply.write_chunk(_event(usage) + b"data: [DONE]\n\n")
    reply.end()


async def _whole(reply: Reply, call: Call, events: int, pace_seconds: float) -> None:
    await asyncio.sleep(events * pace_seconds)
    call.events_sent = events
    message = {"role": "assistant", "content": "blue " * events}
    body = {
        **_HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(call.number, events),
    }
    reply.send(200, json.dumps(body).encode(), _JSON)


_HEAD: Final = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "counted"}


def _chunk(delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _usage(number: int, events: int) -> dict[str, int]:
    counted = INPUT_BASE + number
    return {
        "prompt_tokens": counted,
        "completion_tokens": events,
        "total_tokens": counted + events,
    }


class ProviderProcess(ServerProcess):
    """`with ProviderProcess() as provider:` — then `provider.base_url` is an upstream."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__("tests.chaos.exactly_once.provider")

    def calls(self) -> dict[int, Call]:
        """Return what was asked, by number."""
        url = self.origin + CALLS_PATH
        answer = httpx.get(url, timeout=_READ_SECONDS, trust_env=False)
        return {one["number"]: Call(**one) for one in answer.json()}


async def main() -> None:
    """Serve until the starter is gone."""
    server = Server(Provider().answer)
    listening = await server.listen()
    announce(listening.sockets[0].getsockname()[1])
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

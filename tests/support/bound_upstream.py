"""`python -m tests.support.bound_upstream`: a provider that uses as much as it is allowed to.

The model's name says how: `use-100-0050` reports 100 % of the bound, 50 ms after the request. The
bound is the one that holds are taken for: every byte of the body and the overhead are input, and
the output is `max_tokens`. A stream has its first words at once and its end after that time;
`slow-100-0050` spreads words over it instead, one every 50 ms, until `max_tokens` are out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from typing import Any, Final

from edge.demo.server import Reply, Request, Server
from kit.charge import Dimension

OVERHEAD_TOKENS: Final = 600
"""The catalogue's constant of the models that are served here."""
MAX_OUTPUT_TOKENS: Final = 1_000
NANOS_PER_TOKEN: Final = 1_000
_NAME: Final = re.compile(r"^(use|slow)-([0-9]{3})-([0-9]{4})$")
_JSON: Final = ((b"content-type", b"application/json"),)
_EVENTS: Final = ((b"content-type", b"text/event-stream"),)


def model_entry(name: str, *, upstream: str = "bound", **facts: Any) -> dict[str, Any]:
    """Return a catalogue model that is served here, where every token costs the same.

    Its public name is the name upstream: the body that we get has the length that the edge bounded.
    """
    rate = NANOS_PER_TOKEN * 1_000_000
    rates = {one.name.lower(): rate for one in Dimension if one.name.endswith(("PUT", "WRITE"))}
    return {
        "public_id": name,
        "display_name": name,
        "maker": "tests",
        "context_tokens": 1_000_000,
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "input_overhead_tokens": OVERHEAD_TOKENS,
        "input_overhead_with_tools_tokens": OVERHEAD_TOKENS,
        "routes": [{"candidates": [{"upstream": upstream, "upstream_model": name}]}],
        "prices": [{"tiers": [{"above_context_tokens": 0, **rates}]}],
        **facts,
    }


def hold_of(body: bytes, max_tokens: int) -> int:
    """Return the hold of a request, in nano-US-dollars."""
    return charge_of(body, max_tokens, 100)


def charge_of(body: bytes, max_tokens: int, percent: int) -> int:
    """Return what a request costs that uses so much of its hold, in nano-US-dollars."""
    return _usage(body, max_tokens, percent)["total_tokens"] * NANOS_PER_TOKEN


def _usage(body: bytes, max_tokens: int, percent: int) -> dict[str, int]:
    prompt = (len(body) + OVERHEAD_TOKENS) * percent // 100
    output = max_tokens * percent // 100
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }


def _event(**fields: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, **fields}).encode() + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


async def _stream(reply: Reply, usage: dict[str, int], words: int, gap: float) -> None:
    reply.start(200, _EVENTS)
    for _ in range(words):
        reply.write_chunk(_event(choices=_choice({"role": "assistant", "content": "blue "})))
        await asyncio.sleep(gap)
    reply.write_chunk(
        _event(choices=_choice({}, "stop")) + _event(choices=[], usage=usage) + b"data: [DONE]\n\n"
    )
    reply.end()


async def _whole(reply: Reply, usage: dict[str, int], gap: float) -> None:
    await asyncio.sleep(gap)
    message = {"role": "assistant", "content": "blue"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    answer = {**head, "choices": [choice], "usage": usage}
    reply.send(200, json.dumps(answer).encode(), _JSON)


async def _answer(request: Request, reply: Reply) -> None:
    body = json.loads(request.body)
    name = _NAME.match(body["model"])
    if name is None:
        reply.send(404, b"{}", _JSON)
        return
    kind, percent, gap_ms = name.group(1), int(name.group(2)), int(name.group(3))
    usage = _usage(request.body, body["max_tokens"], percent)
    if body.get("stream"):
        words = body["max_tokens"] if kind == "slow" else 1
        await _stream(reply, usage, words, gap_ms / 1000)
    else:
        await _whole(reply, usage, gap_ms / 1000)


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    listening = await Server(_answer).listen(port=options.port)
    sys.stdout.write(json.dumps({"port": listening.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

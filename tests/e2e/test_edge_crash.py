"""What an edge that is killed leaves behind comes back to clients: spend limits of keys."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.test_client_contracts import ask, make_key
from tests.support.processes import children_of, lives, until
from tests.support.stack import Stack

CEILING = {"x-max-cost": "0.0145"}
"""A hold of exactly that; the charge is far below."""


def edge_of(stack: Stack) -> int:
    """Return the process id of the edge's worker."""
    assert stack.process is not None
    waiting, found = [stack.process.pid], []
    while waiting:
        children = children_of(waiting.pop())
        waiting += children
        found += [child for child in children if "edge" in _words(child)]
    return found[-1]


def _words(process_id: int) -> list[str]:
    try:
        text = Path(f"/proc/{process_id}/cmdline").read_bytes().decode()
    except OSError:
        return []
    return [word.rpartition("/")[2] for word in text.split("\0")]


def kill_edge(stack: Stack) -> None:
    """Kill -9 the edge and wait until another one serves."""
    process_id = edge_of(stack)
    os.kill(process_id, signal.SIGKILL)
    until(lambda: not lives(process_id))
    until(lambda: _is_ready(stack))


def _is_ready(stack: Stack) -> bool:
    try:
        url = stack.base_url.removesuffix("/v1") + "/readyz"
        return httpx.get(url, trust_env=False).status_code == 200
    except (httpx.TransportError, OSError):
        return False


def test_spend_that_a_killed_edge_had_not_used_can_be_spent(stack: Stack, replay: Any) -> None:
    """A key's limit counts what was charged, not what a dead edge had taken of it."""
    key = make_key(stack, "--spend-total", "0.02")
    with stack.client(key) as client:
        assert ask(client, **CEILING).status_code == 200
    kill_edge(stack)
    with stack.client(key) as client:
        until(lambda: ask(client, **CEILING).status_code == 200)


def test_a_spend_limit_can_be_spent_to_its_end_and_not_beyond(stack: Stack, replay: Any) -> None:
    """Requests are served until what is left does not cover one any more."""
    key = make_key(stack, "--spend-total", "0.0146")
    charged, refused = 0, None
    with stack.client(key) as client:
        while refused is None:
            answer = ask(client, **CEILING)
            if answer.status_code == 200:
                usage = stack.usage(answer.headers["x-request-id"])
                charged += usage.charge.amount_nanos
            else:
                refused = answer
    assert refused.status_code == 429
    assert charged <= 14_600_000
    assert charged + 14_500_000 > 14_600_000

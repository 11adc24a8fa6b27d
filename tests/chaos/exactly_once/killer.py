"""Kills processes of a cluster by a schedule and starts them again, while clients go on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.chaos.exactly_once.clients import Clients
from tests.chaos.exactly_once.schedule import DATABASE, Step
from tests.chaos.exactly_once.spools import Deaths, until_stopped
from tests.support.cluster import Cluster, CoreNode, EdgeNode

POLL_SECONDS: Final = 0.05
READY_SECONDS_MAX: Final = 20.0
"""So long a victim is given to be ready before it is killed again."""
LAST_BYTE_SECONDS_MAX: Final = 2.0
HELD_UP_SECONDS: Final = 0.5


@dataclass
class Killer:
    """Kills and revives; keeps who died when and how long each took to be ready again."""

    cluster: Cluster
    clients: Clients
    deaths: Deaths
    kills: Counter[str] = field(default_factory=Counter)
    moments: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """From when to when each edge died: it was stopped, its spools were read, it was killed."""
    ready_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ended_by_themselves: Counter[str] = field(default_factory=Counter)
    _starting: dict[str, float] = field(default_factory=dict)
    _down: set[str] = field(default_factory=set)
    """Who was killed and is not started yet."""

    def run(self, steps: list[Step], seconds_max: float) -> None:
        """Do all steps, or as many as the time allows."""
        ends = time.monotonic() + seconds_max
        for step in steps:
            if time.monotonic() > ends:
                return
            self._wait(step.pause_seconds)
            self._break_link(step)
            for name in step.victims:
                self._until_ready(name)
            self._kill_all(step)
            for name in step.victims:
                self._start(name)

    def kill_and_start(self, name: str) -> float:
        """Kill one process with nothing else wrong; return how long it took to be ready again."""
        self._kill(name, "any")
        self._start(name)
        self._until_ready(name, patience_seconds=60.0)
        return self.ready_seconds[name[:4]][-1]

    def until_all_ready(self, patience_seconds: float) -> None:
        """Revive whatever is dead and wait until everything serves."""
        for node in self.cluster.nodes:
            self._until_ready(node.name, patience_seconds)
            assert node.is_ready(), f"{node.name}: {node.log.read_text()[-2_000:]}"

    def _kill_all(self, step: Step) -> None:
        for position, name in enumerate(step.victims):
            self._kill(name, step.manner if position == 0 else "any")

    def _kill(self, name: str, manner: str) -> None:
        if name == DATABASE:
            self.cluster.postgres.kill()
        else:
            node = self._node(name)
            if isinstance(node, EdgeNode):
                self._kill_edge(node, manner)
            else:
                self._kill_core(node, manner)
            self._starting.pop(name, None)
        self._down.add(name)
        self.kills[name.partition("-")[0]] += 1

    def _kill_edge(self, node: EdgeNode, manner: str) -> None:
        """Stop it dead, read its spools, kill it: what it had written is all there is."""
        number = self.cluster.edges.index(node)
        stop = _once(partial(_stop, node.pid))
        if manner == "last_byte":
            done = threading.Event()
            self.clients.on_whole = lambda edge: _if(edge == number, stop, done.set)
            done.wait(LAST_BYTE_SECONDS_MAX)
            self.clients.on_whole = lambda _edge: None
        stop()
        stopped = time.monotonic()
        until_stopped(node.pid)
        self.deaths.read(node.pid)
        node.kill()
        self.moments[number].append((stopped, time.monotonic()))

    def _kill_core(self, node: CoreNode, manner: str) -> None:
        wire = self.cluster.commits[self.cluster.cores.index(node)]
        if manner == "held_up":
            wire.tell(frozen=True)
            self._wait(HELD_UP_SECONDS)
        node.kill()
        wire.tell(frozen=False)

    def _start(self, name: str) -> None:
        self._down.discard(name)
        if name == DATABASE:
            self.cluster.postgres.start()
            return
        self._starting[name] = time.monotonic()
        self._node(name).start()

    def _break_link(self, step: Step) -> None:
        """Let one wire fail until the next step; the others pass."""
        if self.cluster.link != "wire":
            return
        for number, link in enumerate(self.cluster.links):
            fails = step.wire_mode and number == step.link
            link.tell(mode=step.wire_mode if fails else "pass")

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._look()
            time.sleep(POLL_SECONDS)

    def _until_ready(self, name: str, patience_seconds: float = READY_SECONDS_MAX) -> None:
        deadline = time.monotonic() + patience_seconds
        self._look()
        while name in self._starting and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self._look()

    def _look(self) -> None:
        """Note who is ready by now, and start again who ended by itself, as a supervisor does."""
        for node in self.cluster.nodes:
            if not node.runs and node.name not in self._down:
                self.ended_by_themselves[node.name.partition("-")[0]] += 1
                self._start(node.name)
            elif node.name in self._starting and node.is_ready():
                seconds = time.monotonic() - self._starting.pop(node.name)
                self.ready_seconds[node.name[:4]].append(seconds)

    def _node(self, name: str) -> EdgeNode | CoreNode:
        return next(node for node in self.cluster.nodes if node.name == name)


def _stop(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)


def _once(act: Callable[[], None]) -> Callable[[], None]:
    """Return a function that acts the first time only, whichever thread calls it."""
    lock = threading.Lock()

    def act_once() -> None:
        if lock.acquire(blocking=False):
            act()

    return act_once


def _if(condition: bool, *acts: Callable[[], None]) -> None:  # noqa: FBT001  read as a sentence
    if condition:
        for act in acts:
            act()

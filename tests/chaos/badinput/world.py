"""The service under attack: one edge, its calls to core counted, in front of a replay upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.contract.bad_inputs import Target
from tests.support.cluster import Cluster
from tests.support.corpus import target_of
from tests.support.replay.client import ReplayProcess
from tests.support.stack import TEXT, catalogue_document, public_ids
from tests.support.steady import Seen, Steady

CREDIT_NANOS = 10_000_000_000_000
NORMAL_RATE = 50.0
MESSAGES = [{"role": "user", "content": "Name a thing that is blue."}]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; an attack held if nothing was wrong."""

    part: str
    attack: str
    tried: int
    wrong: int
    told: str = ""

    def __str__(self) -> str:
        verdict = "held" if not self.wrong else "FAILED"
        counts = f"{self.tried:>8,} {self.wrong:>6,} {verdict:<7}"
        return f"{self.part:<10} {self.attack:<34} {counts} {self.told}"


@dataclass(slots=True)
class World:
    """What the attacks share."""

    cluster: Cluster
    replay: ReplayProcess
    findings: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Return where attacks go."""
        edge = self.cluster.edges[0]
        return target_of(edge.base_url, self.cluster.api_key, public_ids()[TEXT])

    @property
    def edge_log(self) -> bytes:
        """Return what the edge logged."""
        return self.cluster.edges[0].log.read_bytes()

    def calls(self) -> dict[str, int]:
        """Return the calls that core got from the edge so far, by method."""
        return self.cluster.links[0].tell()

    def memory_kib(self, name: str = "VmRSS") -> int:
        """Return the edge's resident memory now, or with `VmHWM` at its highest."""
        status = Path(f"/proc/{self.cluster.edges[0].pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1])

    def forget_peak(self) -> None:
        """Start measuring the highest memory anew."""
        Path(f"/proc/{self.cluster.edges[0].pid}/clear_refs").write_text("5")

    def total_nanos(self) -> int:
        """Return all credit of the example workspace."""
        return int(self.cluster.balance().total.amount_nanos)

    def serve_one(self) -> str:
        """Serve one plain request, which must succeed; return its id."""
        edge = self.cluster.edges[0]
        headers = {"authorization": f"Bearer {self.cluster.api_key}"}
        body = {"model": public_ids()[TEXT], "messages": MESSAGES}
        url = f"{edge.base_url}/chat/completions"
        answer = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)
        answer.raise_for_status()
        self.cluster.usage(answer.headers["x-request-id"])
        return str(answer.headers["x-request-id"])

    def normal_clients(self, rate: float = NORMAL_RATE) -> Steady:
        """Return clients that behave, at a steady rate."""
        edge = self.cluster.edges[0]
        return Steady(edge.base_url, self.cluster.api_key, public_ids()[TEXT], rate, stream_every=0)


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Run the service with plenty of credit."""
    with ReplayProcess() as replay:
        document = catalogue_document(replay.base_url)
        names = [one["name"] for one in document["upstreams"]]
        variables = {f"{name.upper()}_API_KEY": f"credential-of-{name}" for name in names}
        with Cluster(folder, link="messenger", provider_variables=variables) as cluster:
            cluster.grant(CREDIT_NANOS)
            cluster.import_catalogue(document)
            yield World(cluster, replay)


@dataclass(frozen=True, slots=True)
class Served:
    """How clients that behave fared."""

    requests: int
    refused: int
    codes: frozenset[str]
    median_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seen: list[Seen]) -> Served:
        """Sum up what they saw."""
        times = sorted(one.seconds * 1000 for one in seen) or [0.0]
        refused = [f"{one.status} {one.code}" for one in seen if one.status != 200]
        median, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        return cls(len(seen), len(refused), frozenset(refused), median, p99)

    def __str__(self) -> str:
        times = f"median {self.median_ms:.0f} ms, p99 {self.p99_ms:.0f} ms"
        refused = f"{self.refused} refused {', '.join(self.codes)}".strip()
        return f"{self.requests} normal requests, {refused}, {times}"


async def serve_meanwhile(world: World, seconds: float) -> Served:
    """Let clients that behave work for some seconds."""
    load = world.normal_clients()
    asyncio.get_running_loop().call_later(seconds, load.stop)
    await load.run()
    return Served.of(load.seen)

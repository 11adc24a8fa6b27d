"""One round: a service of its own, clients, kills and lost messages; then the books."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from kit.charge import Dimension
from tests.chaos.exactly_once.books import Books, read_books
from tests.chaos.exactly_once.claims import Evidence, Verdict, judge, unexplained_breaks
from tests.chaos.exactly_once.clients import MODEL, Clients
from tests.chaos.exactly_once.forgery import ALARMS, forge, refused_as_conflict
from tests.chaos.exactly_once.killer import Killer
from tests.chaos.exactly_once.provider import ProviderProcess
from tests.chaos.exactly_once.schedule import Shape, schedule
from tests.chaos.exactly_once.spools import Deaths, epoch_folders, until_adopted
from tests.support.cluster import Cluster
from tests.support.core_process import TOKENS
from tests.support.processes import until

CREDIT_NANOS: Final = 10**15
TERMINAL_SECONDS_MAX: Final = 60.0
READY_SECONDS_MAX: Final = 3.0
SETTLED_SECONDS_MAX: Final = 120.0
SLACK_SECONDS: Final = 0.5
_CALM: Final[dict[str, Any]] = {
    "messenger": dict.fromkeys(
        ("lose_requests", "lose_answers", "repeat", "swap", "break_streams", "delay_ms"), 0
    ),
    "wire": {"mode": "pass", "delay_ms": 0, "cut_every_seconds": 0},
    "commits": dict.fromkeys(("lose_commit", "lose_answer", "lose_track"), 0),
}
_STORM: Final[dict[str, Any]] = {
    "messenger": {
        "lose_requests": 0.03,
        "lose_answers": 0.03,
        "repeat": 0.15,
        "swap": 0.1,
        "break_streams": 0.03,
        "delay_ms": 40,
    },
    "wire": {"mode": "pass", "delay_ms": 10, "cut_every_seconds": 1.0},
    "commits": {"lose_commit": 0.03, "lose_answer": 0.06, "lose_track": 0.03},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round is made of."""

    seed: str
    shape: Shape
    kills: int
    clients: int
    seconds_max: float = 3_600.0
    """After so long no more is killed, whatever was planned."""
    pause_seconds: float = 0.8
    warm_up_seconds: float = 1.5
    pace_ms: tuple[int, int] = (100, 1_000)
    keep: Path | None = None
    """Where the files of the round stay; by default they go with it."""


@dataclass
class Result:
    """What came of a round."""

    plan: Plan
    verdict: Verdict
    requests: int
    whole: int
    left: int
    broken: int
    refused: int
    records: int
    charged: int
    revenue: int
    drop: int
    kills: Mapping[str, int]
    faults: Mapping[str, int]
    edge_ready_seconds: list[float]
    """Of every start of an edge, whatever else was dead then."""
    alone_ready_seconds: float
    """Of the one edge that was killed while nothing else was wrong."""
    alone_terminal_seconds: float
    ended_by_themselves: Mapping[str, int]
    refusals: Mapping[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Say whether all that was claimed is so."""
        return self.verdict.holds and not self.problems


def play(plan: Plan) -> Result:
    """Play one round."""
    with tempfile.TemporaryDirectory(prefix="oneapi-once-") as made:
        folder = plan.keep / plan.seed if plan.keep else Path(made)
        with ProviderProcess() as provider, _cluster(plan, folder) as cluster:
            return _Round(plan, cluster, provider).play()


def _cluster(plan: Plan, folder: Path) -> Cluster:
    return Cluster(
        folder,
        edge_count=plan.shape.edges,
        core_count=plan.shape.cores,
        link=plan.shape.link,
        edge_settings={"DRAIN_SECONDS": "10", "REQUEST_MAX_SECONDS": "60"},
        core_settings={"REQUEST_MAX_SECONDS": "60"},
        provider_variables={"COUNTED_API_KEY": "counted-credential"},
        loses_commits=True,
        seed=sum(plan.seed.encode()),
    )


class _Round:
    def __init__(self, plan: Plan, cluster: Cluster, provider: ProviderProcess) -> None:
        self._plan = plan
        self._cluster = cluster
        self._provider = provider
        self._deaths = Deaths(cluster.data_dir)
        self._problems: list[str] = []
        self._faults: dict[str, int] = {}

    def play(self) -> Result:
        cluster, plan = self._cluster, self._plan
        cluster.import_catalogue(_catalogue(self._provider.base_url))
        cluster.grant(CREDIT_NANOS)
        given = cluster.balance().total.amount_nanos
        clients = Clients(
            [edge.port for edge in cluster.edges],
            cluster.api_key,
            plan.clients,
            seed=sum(plan.seed.encode()),
            pace_ms=plan.pace_ms,
        )
        killer = Killer(cluster, clients, self._deaths)
        with clients:
            time.sleep(plan.warm_up_seconds)
            alone = self._kill_one_alone(killer, clients)
            self._order(_STORM)
            steps = schedule(plan.seed, plan.kills - 1, plan.shape, plan.pause_seconds)
            killer.run(steps, plan.seconds_max)
            self._order(_CALM)
            killer.until_all_ready(SETTLED_SECONDS_MAX)
        if clients.fault is not None:
            raise clients.fault
        books = self._close(given)
        return self._result(killer, clients, books, given, alone)

    def _order(self, orders: Mapping[str, Any]) -> None:
        """Tell all links what to do, and add up what they have done."""
        self._faults = {}
        told = [(link, orders[self._plan.shape.link]) for link in self._cluster.links]
        told += [(link, orders["commits"]) for link in self._cluster.commits]
        for link, order in told:
            for name, count in link.tell(**order).items():
                self._faults[name] = self._faults.get(name, 0) + count

    def _kill_one_alone(self, killer: Killer, clients: Clients) -> tuple[float, float]:
        """Kill edge 0 with nothing else wrong: the others must not notice, and it is soon back."""
        died = time.monotonic()
        ready_seconds = killer.kill_and_start("edge-0")
        back = time.monotonic()
        until(lambda: self._are_recorded(self._deaths.open), TERMINAL_SECONDS_MAX)
        terminal_seconds = time.monotonic() - died
        self._problems += [
            f"{one.number}: {one.status} {one.code} of edge {one.edge} while edge 0 was dead"
            for one in list(clients.attempts)
            # A refusal counts if it was asked for then: before, it has another cause.
            if one.edge and one.broke and (one.status in {0, 200} or one.began > died)
            if one.ended and died <= one.ended <= back
        ]
        return ready_seconds, terminal_seconds

    def _are_recorded(self, request_ids: set[bytes]) -> bool:
        with psycopg.connect(self._cluster.database_url) as connection:
            connection.execute("SET ROLE oneapi_system")
            hexes = [one.hex() for one in request_ids]
            row = connection.execute(
                "SELECT count(*) FROM usage_record WHERE id = ANY(%s::uuid[])", (hexes,)
            ).fetchone()
        return row is not None and row[0] == len(request_ids)

    def _close(self, given: int) -> Books:
        """Let everything be shipped and closed, audit it, and add what no edge would send."""
        cluster = self._cluster
        until(
            lambda: not any(one.running for one in self._provider.calls().values()),
            SETTLED_SECONDS_MAX,
        )
        until_adopted(cluster.data_dir, len(cluster.edges), TERMINAL_SECONDS_MAX)
        for edge in cluster.edges:
            code = edge.stop(SETTLED_SECONDS_MAX)
            if code:
                self._problems.append(f"{edge.name} ended with {code}")
        left = epoch_folders(cluster.data_dir)
        self._problems += [f"a spool is left: {path.parent.name}/{path.name}" for path in left]
        books = read_books(cluster.database_url)
        proof = cluster.run("audit", "verify", expected=None)
        if not proof or not proof["ok"]:
            self._problems.append(f"audit: {proof}")
        self._forge(books, given)
        return books

    def _forge(self, before: Books, given: int) -> None:
        cluster = self._cluster
        target = f"127.0.0.1:{cluster.cores[-1].port}"
        answers = forge(target, TOKENS["edge"], cluster.database_url)
        if answers.first or answers.again or answers.after_the_hole:
            self._problems.append(f"refused: {answers}")
        if not refused_as_conflict(answers.other_content):
            self._problems.append(f"other content was taken: {answers}")
        after = read_books(cluster.database_url)
        raised = {kind: count - before.alarms.get(kind, 0) for kind, count in after.alarms.items()}
        if {kind: count for kind, count in raised.items() if count} != ALARMS:
            self._problems.append(f"alarms of the forgeries: {raised}")
        if len(after.records) != len(before.records) + 2 or given - after.posted != after.charged:
            self._problems.append("the forgeries were counted")

    def _result(
        self,
        killer: Killer,
        clients: Clients,
        books: Books,
        given: int,
        alone: tuple[float, float],
    ) -> Result:
        attempts = clients.attempts
        evidence = Evidence(attempts, self._provider.calls(), self._deaths, books, given)
        self._problems += unexplained_breaks(attempts, killer.moments, SLACK_SECONDS)
        broke = [one for one in attempts if one.broke]
        return Result(
            plan=self._plan,
            verdict=judge(evidence),
            requests=len(attempts),
            whole=sum(one.whole for one in attempts),
            left=sum(one.left for one in attempts),
            broken=sum(one.status in {0, 200} for one in broke),
            refused=sum(one.status not in {0, 200} for one in broke),
            records=len(books.records),
            charged=books.charged,
            revenue=books.revenue,
            drop=given - books.posted,
            kills=killer.kills,
            faults=self._faults,
            edge_ready_seconds=killer.ready_seconds["edge"],
            alone_ready_seconds=alone[0],
            alone_terminal_seconds=alone[1],
            ended_by_themselves=killer.ended_by_themselves,
            refusals=Counter(one.code for one in broke if one.status not in {0, 200}),
            problems=self._problems,
        )


def _catalogue(base_url: str) -> dict[str, Any]:
    rates = dict.fromkeys((one.name.lower() for one in Dimension), 0)
    # Odd prices, so that nearly every charge is rounded.
    rates |= {"input": 412_345_679, "output": 1_654_321_987}
    candidate = {"upstream": "counted", "upstream_model": MODEL, "priority": 0}
    model = {
        "public_id": MODEL,
        "display_name": MODEL,
        "maker": "tests",
        "context_tokens": 1_000_000,
        "max_output_tokens": 8_192,
        "input_overhead_tokens": 400_000,
        "input_overhead_with_tools_tokens": 400_000,
        "image_max_tokens": 4_096,
        "audio_max_tokens": 4_096,
        "file_max_tokens": 65_536,
        "routes": [{"lanes": ["default"], "candidates": [candidate]}],
        "prices": [{"lanes": ["default"], "tiers": [{"above_context_tokens": 0, **rates}]}],
    }
    upstreams = [{"name": "counted", "base_url": base_url}]
    return {"format": 1, "upstreams": upstreams, "models": [model]}

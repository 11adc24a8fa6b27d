"""Core or PostgreSQL is gone, dead or frozen, while requests keep coming.

`python -m tests.chaos.outage --rounds 1 --seconds 540 --rate 100` runs every scenario and prints a
row for each. Two kinds of run: within the disconnection limit requests go on inside their leases;
beyond a limit of 20 s they get 503 and when to come again. One more run has a wallet that ends
during the outage. In none is a good key told that it is none, in none is more served than credit
allows, and each recovers without a restart of the edge.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from edge.admission.credit import STOP_BEFORE_SECONDS
from edge.core_link import RENEW_SECONDS
from oneapi.metering.v1.usage_service_pb2 import SumUsageRequest
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from tests.support.cluster import Cluster
from tests.support.demo import DemoProcess
from tests.support.operator_calls import CALL_SECONDS_MAX
from tests.support.steady import Seen, Steady, counted

Fault = Literal["core dead", "core frozen", "wire frozen", "postgres dead", "postgres frozen"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
SHORT_LIMIT_SECONDS = 20
COVERED_SHARE = 0.999
FAILED_CLOSED_SLACK_SECONDS = 3.0
"""Marks come every 250 ms and core's poll may be 2 s old when its streams end."""
RECOVERY_SECONDS_MAX = 30.0
DRAIN_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: what breaks, for how long, and how long the edge may go on without core."""

    fault: Fault
    seconds: float
    limit_seconds: int
    rate: float
    warm_up_seconds: float
    covered_seconds: float | None = None
    """The wallet has credit for so long after the warm-up; None: for more than the outage."""

    @property
    def bridged_seconds(self) -> float:
        """Return how long leases last at least: renewed a moment ago, ended some seconds early."""
        early = min(STOP_BEFORE_SECONDS, self.limit_seconds / 4)
        return self.limit_seconds - early - min(RENEW_SECONDS, self.limit_seconds / 4) - 1

    @property
    def beyond_the_limit(self) -> bool:
        """Say whether the outage outlasts what the edge may bridge."""
        return self.seconds > self.limit_seconds + FAILED_CLOSED_SLACK_SECONDS


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen; `served_share` is that of requests within the limit."""

    fault: str
    limit_seconds: int
    outage_seconds: float
    covered_seconds: float | None
    sent: int
    served: int
    served_share: float
    refused_503: str
    other: str
    without_retry_after: int
    last_served_after: float
    recovered_after: float
    drained_after: float
    records: int
    sound: bool
    """The proof is whole, no wallet is below zero, and the edge is the process that it was."""
    held: bool


def records_of(cluster: Cluster, workspace_id: str) -> int:
    """Return how many usage records a workspace has."""
    asked = SumUsageRequest(workspace_id=workspace_id)
    answer = UsageServiceStub(cluster.channel).SumUsage(asked, timeout=CALL_SECONDS_MAX)
    return answer.total.requests


@contextmanager
def broken(cluster: Cluster, fault: Fault) -> Iterator[None]:
    """Break something; mend it at the end."""
    if fault == "core dead":
        cluster.cores[0].kill()
    elif fault == "core frozen":
        cluster.cores[0].freeze()
    elif fault == "wire frozen":
        cluster.links[0].tell(mode="freeze")
    elif fault == "postgres dead":
        cluster.postgres.kill()
    else:
        cluster.postgres.freeze()
    try:
        yield
    finally:
        if fault == "core frozen":
            cluster.cores[0].thaw()
        elif fault == "wire frozen":
            cluster.links[0].tell(mode="pass")
        elif fault == "postgres frozen":
            cluster.postgres.thaw()
        cluster.revive()


def small_wallet(cluster: Cluster, plan: Plan) -> tuple[str, str]:
    """Make a workspace whose credit ends during the outage; return its id and a key."""
    load = Steady(cluster.edges[0].base_url, cluster.api_key, "demo", 10, stream_every=0)

    async def ask_once() -> None:
        asyncio.get_running_loop().call_soon(load.stop)
        await load.run()

    asyncio.run(ask_once())
    charge = cluster.usage(load.seen[0].request_id).charge.amount_nanos
    workspace_id = cluster.empty_workspace()
    seconds = plan.warm_up_seconds + (plan.covered_seconds or 0)
    cluster.grant(int(charge * plan.rate * seconds), workspace_id)
    return workspace_id, cluster.make_key(workspace_id)[1]


async def attack(cluster: Cluster, plan: Plan, api_key: str) -> tuple[Steady, float, float]:
    """Send requests before, during and after the outage; return them and its two ends."""
    edge = cluster.edges[0]
    load = Steady(edge.base_url, api_key, "demo", plan.rate)
    sending = asyncio.create_task(load.run())
    loop = asyncio.get_running_loop()
    await asyncio.sleep(plan.warm_up_seconds)
    began = loop.time()
    with broken(cluster, plan.fault):
        await asyncio.sleep(plan.seconds)
        ended = loop.time()
    deadline = loop.time() + RECOVERY_SECONDS_MAX
    while loop.time() < deadline and not _steady_again(load, loop.time()):  # noqa: ASYNC110 a poll
        await asyncio.sleep(0.2)
    load.stop()
    await sending
    return load, began, ended


def _steady_again(load: Steady, now: float) -> bool:
    lately = load.between(now - 2.0, now - 0.5)
    return len(lately) > 0 and all(one.status in {200, 402} for one in lately)


def run(plan: Plan, folder: Path) -> Result:
    """Run one plan on a cluster of its own."""
    with DemoProcess() as demo:
        cluster = Cluster(
            folder,
            edge_settings={"DISCONNECTED_SECONDS": str(plan.limit_seconds)},
            core_settings={
                "DEMO_BASE_URL": demo.base_url,
                "DISCONNECTED_SECONDS": str(plan.limit_seconds),
            },
        )
        with cluster:
            edge_pid = cluster.edges[0].pid
            workspace_id, api_key = cluster.workspace_id, cluster.api_key
            if plan.covered_seconds is not None:
                workspace_id, api_key = small_wallet(cluster, plan)
            load, began, ended = asyncio.run(attack(cluster, plan, api_key))
            cluster.until_serving(cluster.cores[0])
            served = [one for one in load.seen if one.status == 200]
            drained = _drained_after(cluster, workspace_id, len(served))
            records = records_of(cluster, workspace_id)
            proof = cluster.run("audit", "verify", expected=None)
            balance = cluster.balance(workspace_id)
            sound = (
                proof["ok"]
                and cluster.edges[0].runs
                and cluster.edges[0].pid == edge_pid
                and balance.available.amount_nanos >= 0
                and balance.debt.amount_nanos == 0
            )
            return _judged(plan, load, (began, ended), (drained, records), sound=sound)


def _drained_after(cluster: Cluster, workspace_id: str, expected: int) -> float:
    began = time.monotonic()
    while records_of(cluster, workspace_id) < expected:
        if time.monotonic() > began + DRAIN_SECONDS_MAX:
            return float("inf")
        time.sleep(0.1)
    return time.monotonic() - began


def _judged(
    plan: Plan,
    load: Steady,
    ends: tuple[float, float],
    after: tuple[float, int],
    *,
    sound: bool,
) -> Result:
    began, ended = ends
    during = load.between(began, ended)
    bridged = load.between(began, min(ended, began + plan.bridged_seconds))
    refused = [one for one in load.seen if one.status == 503]
    others = [one for one in load.seen if one.status not in {200, 503}]
    served = [one for one in load.seen if one.status == 200]
    last = max((one.sent_at - began for one in during if one.status == 200), default=0.0)
    share = _share(bridged)
    held = [
        sound,
        all(one.has_retry_after for one in refused),
        after[1] == len(served),
        not plan.beyond_the_limit or last <= plan.limit_seconds + FAILED_CLOSED_SLACK_SECONDS,
    ]
    recovered = _first_served(load, ended)
    if plan.covered_seconds is None:
        held += [recovered <= RECOVERY_SECONDS_MAX]
        held += [share >= COVERED_SHARE, not others]
    else:
        # Whoever has spent the lease is refused: at once by 503, and by 402 once core is back.
        held += [last < plan.seconds, all(one.status == 402 for one in others)]
    return Result(
        fault=plan.fault,
        limit_seconds=plan.limit_seconds,
        outage_seconds=plan.seconds,
        covered_seconds=plan.covered_seconds,
        sent=len(load.seen),
        served=len(served),
        served_share=round(share, 5),
        refused_503=json.dumps(counted(refused, lambda one: one.code)),
        other=json.dumps(counted(others, lambda one: f"{one.status} {one.code}")),
        without_retry_after=sum(not one.has_retry_after for one in refused),
        last_served_after=round(last, 1),
        recovered_after=round(recovered, 2),
        drained_after=round(after[0], 1),
        records=after[1],
        sound=sound,
        held=all(held),
    )


def _share(seen: list[Seen]) -> float:
    return sum(one.status == 200 for one in seen) / len(seen) if seen else 0.0


def _first_served(load: Steady, ended: float) -> float:
    after = [one.sent_at - ended for one in load.seen if one.status == 200 and one.sent_at >= ended]
    return min(after, default=float("inf"))


def plans(options: argparse.Namespace) -> list[Plan]:
    """Return what one round runs."""
    common = {"rate": options.rate, "warm_up_seconds": options.warm_up}
    faults = [fault for fault in FAULTS if options.only in {None, fault}]
    bridged = [Plan(fault, options.seconds, 600, **common) for fault in faults]
    beyond = SHORT_LIMIT_SECONDS * 2.0
    closed = [Plan(fault, beyond, SHORT_LIMIT_SECONDS, **common) for fault in faults]
    spent = [Plan(faults[0], 60.0, 600, **common, covered_seconds=10.0)]
    kinds = {"closed": closed, "spent": spent, "bridged": bridged}
    return [plan for kind in options.kinds or kinds for plan in kinds[kind]]


def main() -> int:
    """Run all plans; 0 if every one held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=540.0, help="of the bridged outages")
    parser.add_argument("--warm-up", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--only", choices=FAULTS)
    parser.add_argument("--kinds", nargs="*", choices=("closed", "spent", "bridged"))
    options = parser.parse_args()
    good = True
    sys.stdout.write(" | ".join(one.name for one in fields(Result)) + "\n")
    for _ in range(options.rounds):
        for plan in plans(options):
            with tempfile.TemporaryDirectory(prefix="oneapi-outage-") as folder:
                result = run(plan, Path(folder))
            good = good and result.held
            sys.stdout.write(" | ".join(map(str, asdict(result).values())) + "\n")
            sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

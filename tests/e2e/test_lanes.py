"""What lanes do is data of the catalogue: patience, ranks, spare capacity."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.cluster import Cluster
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import TEXT, catalogue_document, public_ids

SLOW_MS = 1_200
"""How long the only upstream takes; one request at a time."""
LANES = ("default", "economy", "priority", "opportunistic")
PRICE = {"lanes": list(LANES), "tiers": [{"input": 1_000_000, "output": 1_000_000}]}


@pytest.fixture
def scarce(cluster: Cluster, cluster_replay: ReplayProcess) -> Iterator[Cluster]:
    """Give the cluster a model whose upstream takes one request at a time, and slowly."""
    document = catalogue_document(cluster_replay.base_url)
    (found,) = (one for one in document["models"] if one["public_id"] == public_ids()[TEXT])
    only = {**found["routes"][0]["candidates"][0], "max_running": 1}
    patient = {"queue_rank": 20, "queue_wait_ms": 30_000}
    routes = [
        {"lanes": ["default"], "candidates": [only], "policy": {"queue_wait_ms": 50}},
        {"lanes": ["economy"], "candidates": [only], "policy": patient},
        {"lanes": ["priority"], "candidates": [only], "policy": {**patient, "queue_rank": 0}},
        {"lanes": ["opportunistic"], "candidates": [only], "policy": {"spare_only": True}},
    ]
    scarce_model = {**found, "public_id": "scarce", "routes": routes, "prices": [PRICE]}
    cluster.import_catalogue({**document, "models": [scarce_model]})
    cluster_replay.reset()
    cluster_replay.set_faults(TEXT, slow_headers_ms=SLOW_MS)
    yield cluster
    cluster_replay.reset()


def ask(cluster: Cluster, lane: str) -> httpx.Response:
    """Send a chat in a lane."""
    body: dict[str, Any] = {"model": "scarce", "messages": [{"role": "user", "content": "Blue?"}]}
    headers = {"authorization": f"Bearer {cluster.api_key}", "x-delivery-lane": lane}
    url = f"{cluster.edges[0].base_url}/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)


def waiting(cluster: Cluster) -> float:
    """Return how many requests wait for room."""
    return cluster.edges[0].metrics()['oneapi_edge_upstream_requests{state="waiting"}']


def test_scarce_room_goes_to_lanes_as_their_policies_say(
    scarce: Cluster, cluster_replay: ReplayProcess
) -> None:
    """Economy waits longest and last, priority goes first, the impatient are told 429."""
    assert ask(scarce, "opportunistic").status_code == 200
    seen = len(cluster_replay.calls().requests)
    ended: list[str] = []

    def run(lane: str) -> httpx.Response:
        answer = ask(scarce, lane)
        ended.append(lane)
        return answer

    with ThreadPoolExecutor(8) as pool:
        asked: list[Future[httpx.Response]] = [pool.submit(run, "economy")]
        until(lambda: len(cluster_replay.calls().requests) == seen + 1)
        for number, lane in enumerate(("economy", "priority"), start=1):
            asked.append(pool.submit(run, lane))
            until(lambda number=number: waiting(scarce) == number)  # type: ignore[misc]
        refused = [ask(scarce, lane) for lane in ("opportunistic", "default")]
        answers = [one.result() for one in asked]
    assert [one.status_code for one in answers] == [200, 200, 200]
    assert ended == ["economy", "priority", "economy"]
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "lane_unavailable")
        assert "retry-after" in answer.headers
    usage = scarce.usage(refused[1].headers["x-request-id"])
    assert (usage.outcome, usage.error_class) == (
        record.OUTCOME_FAILED,
        record.ERROR_CLASS_NO_CAPACITY,
    )
    assert (usage.charge.amount_nanos, len(usage.attempts)) == (0, 0)

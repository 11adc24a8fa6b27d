"""A key that requires zero retention is served by upstreams that keep nothing, or by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.cluster import Cluster
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import TEXT, catalogue_document, public_ids

FIRST, KEEPS, LAST = "broken", "openai", "draining"
"""The upstreams of the model in this order: the one in the middle retains what it gets."""
POLICIES = {FIRST: "zero_retention", KEEPS: "retains", LAST: "zero_retention"}


@pytest.fixture(scope="module")
def served(cluster: Cluster, cluster_replay: ReplayProcess) -> Iterator[Cluster]:
    """Give the cluster a model behind three upstreams, and one that only the retaining one has."""
    document = catalogue_document(cluster_replay.base_url)
    (found,) = (one for one in document["models"] if one["public_id"] == public_ids()[TEXT])
    candidate = found["routes"][0]["candidates"][0]
    ordered = [
        {**candidate, "upstream": name, "priority": priority}
        for priority, name in enumerate(POLICIES)
    ]
    models = [
        {**found, "public_id": "kept", "routes": [{"candidates": ordered[1:2]}]},
        {**found, "public_id": "private", "routes": [{"candidates": ordered}]},
    ]
    classed = [
        {**one, "data_policy": POLICIES[one["name"]]} if one["name"] in POLICIES else one
        for one in document["upstreams"]
    ]
    cluster.import_catalogue({**document, "upstreams": classed, "models": models})
    yield cluster
    cluster.import_catalogue({**document, "models": models})


@pytest.fixture(autouse=True)
def _without_faults(cluster_replay: ReplayProcess) -> Iterator[None]:
    cluster_replay.reset()
    yield
    cluster_replay.reset()


@pytest.fixture
def strict(served: Cluster) -> str:
    """Give a key that requires zero retention."""
    return str(served.run("key", "create", "strict", "--zero-retention")["secret"])


def ask(cluster: Cluster, key: str, model: str = "private") -> httpx.Response:
    """Send a chat."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Blue?"}]}
    headers = {"authorization": f"Bearer {key}"}
    url = f"{cluster.edges[0].base_url}/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)


def listed(cluster: Cluster, key: str) -> dict[str, Any]:
    """Return the models that are listed for a key, by id."""
    headers = {"authorization": f"Bearer {key}"}
    url = f"{cluster.edges[0].base_url}/models"
    answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
    return {one["id"]: one for one in answer.json()["data"]}


def test_a_fallback_stays_among_upstreams_that_keep_nothing(
    served: Cluster, strict: str, cluster_replay: ReplayProcess
) -> None:
    """The next candidate retains, so it is passed over; the record names class and upstream."""
    cluster_replay.set_faults(TEXT, status=503, times=1)
    answer = ask(served, strict)
    assert answer.status_code == 200
    usage = served.usage(answer.headers["x-request-id"])
    assert (usage.upstream, len(usage.attempts)) == (LAST, 2)
    assert usage.data_policy == DataPolicy.DATA_POLICY_ZERO_RETENTION
    shown = served.run("usage", "show", usage.request_id)
    assert shown["data_policy"] == "zero_retention"


def test_without_the_requirement_the_next_one_serves_and_is_named(
    served: Cluster, cluster_replay: ReplayProcess
) -> None:
    """Control: the same failure, the same model, another key."""
    cluster_replay.set_faults(TEXT, status=503, times=1)
    answer = ask(served, served.api_key)
    assert answer.status_code == 200
    usage = served.usage(answer.headers["x-request-id"])
    assert (usage.upstream, usage.data_policy) == (KEEPS, DataPolicy.DATA_POLICY_RETAINS)


def test_what_no_upstream_can_serve_so_is_refused_and_not_listed(
    served: Cluster, strict: str, cluster_replay: ReplayProcess
) -> None:
    """Before anything is sent, held or recorded."""
    refused = ask(served, strict, "kept")
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        403,
        "no_zero_retention_upstream",
    )
    assert cluster_replay.calls().requests == []
    models = listed(served, strict)
    assert "kept" not in models
    assert models["private"]["data_policies"] == ["retains", "zero_retention"]
    assert {"kept", "private"} <= listed(served, served.api_key).keys()
    assert ask(served, served.api_key, "kept").status_code == 200


def test_a_workspace_may_require_it_of_all_its_keys(
    served: Cluster, cluster_replay: ReplayProcess
) -> None:
    """It takes effect on keys that are in use, and ends as it began."""
    made = served.run("workspace", "create", "Private")
    workspace = made["workspace_id"]
    served.grant(10**9, workspace)
    key = str(served.run("key", "create", "lax", "--workspace", workspace)["secret"])
    assert ask(served, key, "kept").status_code == 200
    served.run("workspace", "update", workspace, "--zero-retention")
    until(partial(_is, served, key, 403))
    served.run("workspace", "update", workspace, "--no-zero-retention")
    until(partial(_is, served, key, 200))


def test_when_all_that_keep_nothing_fail_the_request_fails(
    served: Cluster, strict: str, cluster_replay: ReplayProcess
) -> None:
    """The retaining one is never asked, though it is there; the record names no class."""
    cluster_replay.set_faults(TEXT, status=503)
    answer = ask(served, strict)
    assert answer.status_code == 502
    usage = served.usage(answer.headers["x-request-id"])
    assert usage.outcome == record.OUTCOME_FAILED
    assert (len(usage.attempts), usage.data_policy) == (2, DataPolicy.DATA_POLICY_UNSPECIFIED)
    upstreams = {one["number"]: one["name"] for one in served.run("catalog", "upstreams")}
    assert [upstreams[one.upstream_number] for one in usage.attempts] == [FIRST, LAST]


def _is(cluster: Cluster, key: str, status: int) -> bool:
    return ask(cluster, key, "kept").status_code == status

"""What a workspace has, asked with one of its keys over HTTP."""

from __future__ import annotations

import json
from decimal import Decimal

import httpx
import pytest

from tests.support.cluster import Cluster


def ask(cluster: Cluster, key: str | None, path: str = "/v1/credits") -> httpx.Response:
    """Ask for the balance."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=cluster.edges[0].base_url.removesuffix("/v1")) as client:
        return client.get(path, headers=headers)


def test_a_key_sees_what_its_own_workspace_has(cluster: Cluster) -> None:
    """The same figures as the operator sees, and they add up."""
    answer = ask(cluster, cluster.api_key)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    assert {name: shown[name] for name in ("total", "debt")} == {
        name: cluster.run("credit", "balance")[name] for name in ("total", "debt")
    }
    parts = [Decimal(shown[name]) for name in ("held", "available", "frozen")]
    assert sum(parts) == Decimal(shown["total"]) > 0


def test_openrouters_path_is_not_served_in_another_shape(cluster: Cluster) -> None:
    """Its clients read JSON numbers there, which round."""
    assert ask(cluster, cluster.api_key, "/api/v1/credits").status_code == 404


@pytest.mark.parametrize("key", [None, "sk-1api-wrong", "x" * 5_000])
def test_without_a_good_key_there_is_nothing_to_see(cluster: Cluster, key: str | None) -> None:
    """401 in OpenAI's shape, with a request id."""
    answer = ask(cluster, key)
    assert answer.status_code == 401
    assert answer.headers["x-request-id"].startswith("req_")
    assert json.loads(answer.text)["error"]["type"]


def test_a_key_in_the_url_is_refused(cluster: Cluster) -> None:
    """URLs get logged elsewhere."""
    answer = ask(cluster, cluster.api_key, "/v1/credits?key=sk-1api-anything")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "api_key_in_url")

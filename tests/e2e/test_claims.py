"""An idempotency key whose request never reached an upstream is free again, whatever went wrong.

The link between edge and core loses core's answers: the claim is made, and nobody hears of it.
"""

from __future__ import annotations

import threading
from typing import Any, cast

import httpx
import psycopg

from tests.support.cluster import Cluster
from tests.support.links.client import Wire
from tests.support.processes import until
from tests.support.stack import TEXT, public_ids

MODEL = public_ids()[TEXT]


def ask(cluster: Cluster, key: str) -> httpx.Response:
    """Send a chat with a client's key."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Blue?"}]}
    headers = {"authorization": f"Bearer {cluster.api_key}", "idempotency-key": key}
    url = f"{cluster.edges[0].base_url}/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)


def claims(cluster: Cluster) -> int:
    """Count the claims at core."""
    with psycopg.connect(cluster.database_url) as connection:
        connection.execute("SET ROLE oneapi_system")
        row = connection.execute("SELECT count(*) FROM idempotency_key").fetchone()
    return 0 if row is None else int(row[0])


def serves_again(cluster: Cluster, key: str) -> bool:
    """Say whether the key is free; until then nobody but its holder may be told of."""
    answer = ask(cluster, key)
    assert answer.status_code in {200, 409, 503}
    return answer.status_code == 200


def error_of(answer: httpx.Response) -> str:
    """Return the code of an error."""
    return str(answer.json()["error"]["code"])


def wire_of(cluster: Cluster) -> Wire:
    """Return the link of the edge."""
    return cast("Wire", cluster.links[0])


def test_an_edge_killed_between_claim_and_intent_leaves_the_key_free(cluster: Cluster) -> None:
    """Once its epoch is closed: nothing says that the request ever called an upstream."""
    warm, wire = ask(cluster, "warm-1"), wire_of(cluster)
    assert warm.status_code == 200
    before = claims(cluster)
    wire.tell(mode="mute")
    asking = threading.Thread(target=_ask_and_be_cut, args=(cluster, "killed"))
    asking.start()
    until(lambda: claims(cluster) > before)
    cluster.edges[0].kill()
    asking.join()
    wire.tell(mode="pass", cut=True)
    cluster.edges[0].start()
    cluster.until_serving(cluster.edges[0])
    until(lambda: serves_again(cluster, "killed"))
    until(lambda: error_of(ask(cluster, "killed")) == "idempotency_key_reused")
    assert error_of(ask(cluster, "warm-1")) == "idempotency_key_reused"


def _ask_and_be_cut(cluster: Cluster, key: str) -> None:
    try:
        answer = ask(cluster, key)
    except httpx.TransportError:
        return
    raise AssertionError(answer.status_code)


def test_a_claim_whose_answer_never_came_is_given_up_by_its_edge(cluster: Cluster) -> None:
    """The client got 503 and tries again with the same key: it is served, without any restart."""
    warm, wire = ask(cluster, "warm-2"), wire_of(cluster)
    assert warm.status_code == 200
    before = claims(cluster)
    wire.tell(mode="mute")
    refused = ask(cluster, "late")
    assert claims(cluster) == before + 1
    wire.tell(mode="pass", cut=True)
    assert refused.status_code == 503
    until(lambda: serves_again(cluster, "late"))
    until(lambda: error_of(ask(cluster, "late")) == "idempotency_key_reused")

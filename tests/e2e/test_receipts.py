"""A customer gets the receipt of a charge by HTTP and checks it with nothing but published keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support import beancount
from tests.support.cluster import Cluster
from tests.support.processes import until
from tests.support.stack import TEXT, public_ids


def get(cluster: Cluster, path: str, key: str | None) -> httpx.Response:
    """Ask the edge."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{cluster.edges[0].port}{path}"
    return httpx.get(url, headers=headers, timeout=30, trust_env=False)


def charged(cluster: Cluster) -> tuple[str, str]:
    """Make a request; return its id and what it says that it cost."""
    body = {
        "model": public_ids()[TEXT],
        "messages": [{"role": "user", "content": "Blue?"}],
    }
    url = f"{cluster.edges[0].base_url}/chat/completions"
    headers = {"authorization": f"Bearer {cluster.api_key}"}
    answer = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 200
    return answer.headers["x-request-id"], answer.json()["usage"]["cost"]


def test_a_charge_is_proved_offline(cluster: Cluster, tmp_path: Path) -> None:
    """Receipt and keys by HTTP, the check by `1api receipt verify`; a changed byte is found."""
    request_id, cost = charged(cluster)
    path = f"/v1/receipts/{request_id}"
    until(lambda: get(cluster, path, cluster.api_key).status_code == 200)
    answer = get(cluster, path, cluster.api_key)
    assert answer.headers["cache-control"] == "no-store"
    keys = get(cluster, "/.well-known/1api-keys.json", None)
    assert keys.status_code == 200
    assert keys.headers["access-control-allow-origin"] == "*"
    receipt_file, key_file = tmp_path / "receipt.json", tmp_path / "keys.json"
    receipt_file.write_bytes(answer.content)
    key_file.write_bytes(keys.content)
    words = ("receipt", "verify", str(receipt_file), "--keys", str(key_file))
    proved = cluster.run(*words)
    assert (proved["valid"], proved["request_id"]) == (True, request_id)
    assert float(proved["charge"]) == pytest.approx(float(cost))
    assert get(cluster, f"/api{path}", cluster.api_key).content == answer.content
    changed = json.loads(answer.content)
    changed["receipt"]["charge_nanos"] += "0"
    receipt_file.write_text(json.dumps(changed))
    cluster.run(*words, expected=1)
    receipt_file.write_bytes(b"{}")
    cluster.run(*words, expected=1)
    cluster.run("receipt", "verify", str(receipt_file), "--keys", str(receipt_file), expected=2)


def test_only_the_workspace_itself_has_its_receipts(cluster: Cluster) -> None:
    """Another one gets what it would get of a request that never was; without a key 401."""
    request_id, _ = charged(cluster)
    path = f"/v1/receipts/{request_id}"
    until(lambda: get(cluster, path, cluster.api_key).status_code == 200)
    _, stranger = cluster.make_key(cluster.empty_workspace())
    refused = get(cluster, path, stranger)
    never = get(cluster, f"/v1/receipts/req_{'0' * 32}", cluster.api_key)
    odd = get(cluster, "/v1/receipts/no%20id", cluster.api_key)
    for answer in (refused, never, odd):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "receipt_not_found")
    assert refused.json() == never.json()
    assert get(cluster, path, None).status_code == 401


def test_the_root_of_the_day_is_signed_and_the_ledger_proves_it(cluster: Cluster) -> None:
    """By the loop of core; a head's proof names it."""
    signed = cluster.run("audit", "sign")
    assert cluster.run("audit", "roots")[0] == signed
    assert cluster.run("audit", "head")["root"]["root"] == signed["root"]
    assert cluster.run("audit", "verify")["findings"] == 0


def test_finance_reads_statements_proofs_and_the_ledger(cluster: Cluster, tmp_path: Path) -> None:
    """By commands, on books that a running service wrote."""
    charged(cluster)
    report = cluster.run("audit", "prove")
    assert (report["findings"], report["content"]["details"]) == (0, [])
    assert cluster.run("audit", "reports")[0] == report
    month = f"{datetime.now(UTC):%Y-%m}"
    shown = cluster.run("ledger", "statement", "--month", month)
    assert shown["adds_up"]
    assert shown["opening"]["total"] == "0.00"
    assert {each["section"] for each in shown["sums"]} >= {"grants", "usage"}
    cluster.run("ledger", "statement", "--month", "2026-13", expected=4)
    file = tmp_path / "ledger.beancount"
    cluster.run("ledger", "export", "--format", "beancount", "--output", str(file))
    held = beancount.checked(file.read_text().splitlines())
    assert held["Income:Usage"] < 0
    cluster.run("ledger", "export", "--month", "november", "--output", str(file), expected=2)

"""A newcomer's whole way with money: buy in a browser, use, ask for a refund, keep the papers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from kit.reasons import CallerNotAllowed
from kit.rpc.client import sync_channel
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import refund_service_pb2, refund_service_pb2_grpc
from tests.support.browser import Browser, find_browser
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.recordings import PROJECT
from tests.support.up import Up

_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")
PAY = """
const typed = { card: "4242424242424242", expiry: "12 / 34", cvc: "123" };
for (const name in typed) document.querySelector(`[name=${name}]`).value = typed[name];
document.querySelector("button[type=submit]").click();
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser with one page."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program) as started:
        yield started


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run everything on this machine, with the simulated payment provider."""
    started = Up(tmp_path_factory.mktemp("buying") / "var", "--json", STRIPE_SIMULATOR="true")
    try:
        started.ready()
        yield started
    finally:
        started.stop()


def run(up: Up, *words: str, folder: Path = PROJECT) -> Any:
    """Run a command and return what it answered."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [*_COMMAND, *words, "--json"],
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": str(PROJECT),
            "ONEAPI_DATA_DIR": str(up.data_dir),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def asked_back(up: Up, payment_id: str) -> str:
    """Ask for a refund as support does, over gRPC; return its id."""
    ready = up.ready()
    token = json.loads(Path(ready["credentials"]).read_bytes())["support"]
    with sync_channel(ready["core_target"], token) as channel:
        stub = refund_service_pb2_grpc.RefundServiceStub(channel)
        asked = refund_service_pb2.RequestRefundRequest(
            request_id="browser-refund", payment_id=payment_id
        )
        refund = stub.RequestRefund(asked, timeout=PATIENCE_SECONDS).refund
        approval = refund_service_pb2.ApproveRefundRequest(refund_id=refund.refund_id)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ApproveRefund(approval, timeout=PATIENCE_SECONDS)
        assert isinstance(domain_error_of(refusal.value), CallerNotAllowed)
    return str(refund.refund_id)


def chat(up: Up, key: str) -> str:
    """Use credit for one answer; return its request id."""
    ready = up.ready()
    answer = httpx.post(
        f"{ready['base_url']}/chat/completions",
        headers={"authorization": f"Bearer {key}"},
        json={"model": ready["demo_model"], "messages": [{"role": "user", "content": "Hello"}]},
        timeout=PATIENCE_SECONDS,
        trust_env=False,
    )
    assert answer.status_code == 200
    return answer.headers["x-request-id"]


@pytest.mark.slow
def test_credit_is_bought_used_refunded_and_documented(
    up: Up, browser: Browser, tmp_path: Path
) -> None:
    """And at the end both sides of the books are equal, and all proofs hold."""
    workspace = run(up, "workspace", "create", "Buyers")["workspace_id"]
    key = run(up, "key", "create", "Key", "--workspace", workspace)["secret"]
    bought = run(up, "credit", "buy", "--amount", "10.00", "--save-card", "--workspace", workspace)

    browser.visit(bought["checkout_url"])
    assert "$10.00" in browser.value("document.body.textContent")
    browser.value(PAY)
    until(lambda: "/billing/return" in str(browser.value("location.href")))
    until(lambda: "Thank you" in str(browser.value("document.body && document.body.textContent")))
    assert browser.value("document.querySelector('h1').textContent") == "Thank you"

    def of(field: str) -> Any:
        (row,) = run(up, "credit", "payments", "--workspace", workspace)
        return row[field]

    until(lambda: of("state") == "succeeded")
    assert run(up, "credit", "card", "--workspace", workspace)["last4"] == "4242"

    chat(up, key)
    until(lambda: run(up, "usage", "list", "--workspace", workspace) != [])
    refund_id = asked_back(up, bought["payment_id"])
    approved = run(up, "refund", "approve", refund_id)
    assert approved["state"] in {"approved", "pending", "succeeded", "recalling"}
    until(lambda: run(up, "refund", "show", refund_id)["state"] == "succeeded")
    given_back = Decimal(run(up, "refund", "show", refund_id)["net"])
    left = run(up, "credit", "balance", "--workspace", workspace)
    assert Decimal("9.9") < given_back < Decimal(10)
    assert Decimal(left["total"]) < Decimal("0.01")

    papers = run(up, "receipt", "list", "--workspace", workspace)
    assert sorted(paper["kind"] for paper in papers) == ["credit_note", "receipt"]
    for paper in papers:
        files = [tmp_path / f"{paper['kind']}-{number}.pdf" for number in (1, 2)]
        for file in files:
            run(up, "receipt", "download", paper["document_id"], "--output", str(file))
        first, second = (file.read_bytes() for file in files)
        assert first.startswith(b"%PDF")
        assert first == second

    assert Decimal(run(up, "credit", "reconcile")["difference"]) == 0
    run(up, "audit", "verify")

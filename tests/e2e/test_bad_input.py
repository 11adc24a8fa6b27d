"""Bad input of any kind gets its documented answer; it costs nothing and leaves nothing behind."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.contract.bad_bodies import BAD_BODIES
from tests.contract.bad_forms import BAD_FORMS
from tests.contract.bad_inputs import BAD_INPUTS, BadInput
from tests.support import corpus
from tests.support.replay.client import ReplayProcess
from tests.support.stack import TEXT, Stack, public_ids

MODEL = public_ids()[TEXT]


@pytest.mark.parametrize(
    "rows", [BAD_INPUTS, BAD_BODIES, BAD_FORMS], ids=["requests", "bodies", "forms"]
)
def test_bad_input_gets_its_documented_answer_and_costs_nothing(
    stack: Stack, replay: ReplayProcess, client: httpx.Client, rows: tuple[BadInput, ...]
) -> None:
    """One answer each, with a code and a request id; no call, no record, no charge, no fault."""
    sent = {"model": MODEL, "messages": [{"role": "user", "content": "Hi."}]}
    served = client.post("/chat/completions", json=sent).headers["x-request-id"]
    stack.usage(served)
    total = stack.balance().total.amount_nanos
    replay.reset()
    target = corpus.target_of(stack.base_url, stack.api_key, MODEL)
    assert asyncio.run(corpus.run(rows, target)) == []
    calls = replay.calls()
    assert calls.total + calls.unmatched == 0
    assert stack.latest_usage().request_id == served
    assert stack.balance().total.amount_nanos == total
    assert b"fault" not in (stack.data_dir / "logs" / "edge-0.log").read_bytes()
    assert client.post("/chat/completions", json=sent).status_code == 200

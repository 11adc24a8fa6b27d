"""Unmodified clients, natively and across APIs: the short form of `make clients`.

Only clients that the tests' own environment has; `make clients` runs the whole matrix.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.clients.client import (
    CASE_NAMES,
    OK,
    cells_of_program,
    command_of,
    models_of,
    program_environment,
)
from tests.contract.clients.judge import judged
from tests.contract.clients.matrix import CLIENTS
from tests.contract.clients.run import Row
from tests.contract.clients.served import CASES, Served, add_models
from tests.contract.clients.upstream import DemoUpstream
from tests.support.processes import until
from tests.support.stack import Stack

PAIRS = (
    ("openai_chat.py", "chat"),
    ("openai_chat.py", "generate"),
    ("openai_responses.py", "responses"),
    ("openai_responses.py", "messages"),
    ("anthropic_messages.py", "messages"),
    ("anthropic_messages.py", "chat"),
)
"""Programs, and the API of the upstream."""


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Served]:
    """Give the service with the demo provider of this process behind it."""
    with DemoUpstream() as demo:
        add_models(stack, demo)
        yield Served(stack, demo)


def cells(served: Served, command: list[str], upstream: str) -> dict[str, str]:
    """Run a program with a key of its own; return what its cases came to."""
    served.demo.forget()
    key_id, key = served.stack.make_key()
    models = models_of(upstream)
    ran = cells_of_program(command, program_environment(served, key, models))
    return judged(ran, served, key_id, models)


@pytest.mark.parametrize(("program", "upstream"), PAIRS)
def test_a_client_works_unmodified(served: Served, program: str, upstream: str) -> None:
    """Text, streams, tools, errors, cuts and leaving; images, schemas and models where it has."""
    found = cells(served, command_of(sys.executable, program), upstream)
    assert found.pop("version")
    assert {*CASE_NAMES} <= found.keys()
    seen = found.pop("cut_seen", "")
    assert {case: told for case, told in found.items() if told != OK} == {}
    # The words of the error in the stream, not merely that its connection broke.
    assert seen.endswith("with our words")


CONTROL = """
import json, os, sys, urllib.request
models = json.loads(os.environ["CLIENT_MODELS"])
def ask(model):
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello."}]}
    key = {"authorization": "Bearer " + os.environ["CLIENT_KEY"]}
    url = os.environ["CLIENT_ORIGIN"] + "/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), key)) as it:
        it.read()
ask(models["demo"])
print("text\\tok\\ncut\\tok\\ncancel\\tok\\nstream\\tAssertionError\\nversion\\t0")
"""


def test_what_a_client_claims_is_checked(served: Served) -> None:
    """Control: cases that the records do not bear out, that fail, that were never run."""
    found = cells(served, [sys.executable, "-c", CONTROL], "chat")
    assert found["text"] == OK
    assert found["cut"] == "no usage record"
    assert found["cancel"] == "the provider was not asked"
    faults = Row(CLIENTS[0], "chat", found).faults()
    assert faults.keys() == {"stream", "tools", "error", "cut", "cancel"}
    silent = cells(served, [sys.executable, "-c", "raise SystemExit(3)"], "chat")
    assert silent == {"program": "ended with 3"}


def test_a_client_that_stays_is_no_client_that_left(served: Served) -> None:
    """Control: a record of another outcome, and none at all, of an answer that was left."""
    key_id, key = served.stack.make_key()
    models = models_of("chat")
    served.demo.forget()
    body: dict[str, Any] = {"stream": True, "messages": [{"role": "user", "content": "Hello."}]}
    with (
        served.stack.client(key) as client,
        client.stream("POST", "/chat/completions", json={"model": models["endless"], **body}),
    ):
        until(lambda: bool(served.demo.calls(CASES["endless"])))
    found = judged({"cancel": OK, "cut": OK}, served, key_id, {**models, "cut": models["endless"]})
    assert found == {"cancel": OK, "cut": "the record says OUTCOME_CANCELLED"}
    other = judged({"cancel": OK}, served, key_id, {**models, "endless": models["demo"]})
    assert other["cancel"] == "1 left, 0 cancelled by the records"

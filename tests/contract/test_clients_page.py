"""docs/clients.md and the locks of the client matrix have all clients, and only green cells."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from tests.contract.clients.client import CASE_NAMES, OK, Client
from tests.contract.clients.environments import HERE, NodeEnvironment, PythonEnvironment
from tests.contract.clients.matrix import CLIENTS
from tests.contract.clients.page import API_NAMES, PAGE, rendered
from tests.contract.clients.run import CROSSED, Row
from tests.contract.clients.served import APIS

GREEN = {**dict.fromkeys(CASE_NAMES, OK), "version": "1.2.3", "image": OK, "cut_seen": "`Broken`"}


def test_every_client_is_on_the_page() -> None:
    """A client that was added or renamed needs a run of `make clients`."""
    page = PAGE.read_text()
    for client in CLIENTS:
        assert f"\n| {client.name} | {API_NAMES[client.api]} | {client.setting}" in page


def test_the_page_has_no_cell_that_is_not_explained() -> None:
    """What a run found red is repaired, or explained, before it lands."""
    assert "**no**" not in PAGE.read_text()


def test_a_row_says_what_was_found() -> None:
    """Green, red, lacking and left out."""
    library = next(one for one in CLIENTS if not one.lacks)
    lacking = next(one for one in CLIENTS if one.lacks)
    page = rendered(
        [
            Row(library, "chat", dict(GREEN)),
            Row(library, "messages", {**GREEN, "cut": "the record says OUTCOME_SUCCEEDED"}),
            Row(lacking, "chat", {case: OK for case in CASE_NAMES if case not in lacking.lacks}),
            Row(lacking, "messages", missing="needs npm"),
        ],
        date(2026, 11, 26),
    )
    assert "(last: 2026-11-26)" in page
    start = f"| {library.name} | 1.2.3 | Chat Completions |"
    assert f"{start} Chat Completions | yes | yes | yes | yes | yes | yes | image |" in page
    assert "| **no**: the record says OUTCOME_SUCCEEDED |" in page
    assert "| lacks it |" in page
    assert "| not run: needs npm |" in page
    (reason,) = lacking.lacks.values()
    assert f"- {lacking.name}, tools: {reason}." in page
    assert f"| {library.name} | Chat Completions | Chat Completions | `Broken` |" in page


def test_faults_are_what_is_neither_green_nor_explained() -> None:
    """Red cells, cells that were not run, and explanations that are out of date."""
    lacking = next(one for one in CLIENTS if one.lacks)
    explained = {case: told for case, told in GREEN.items() if case not in lacking.lacks}
    assert Row(lacking, "chat", explained).faults() == {}
    assert Row(lacking, "chat", dict(GREEN)).faults().keys() == lacking.lacks.keys()
    del explained["text"]
    assert Row(lacking, "chat", explained).faults() == {"text": "was not run"}
    assert Row(lacking, "chat", {**explained, "text": "KeyError"}).faults() == {"text": "KeyError"}


def test_every_api_has_clients_and_crosses_to_another() -> None:
    """The matrix is complete by API."""
    assert {one.api for one in CLIENTS} == set(APIS) == CROSSED.keys()
    assert all(api != other for api, other in CROSSED.items())


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: f"{one.name}, {one.api}")
def test_every_client_is_locked(client: Client) -> None:
    """Each archive by its hash, none with the address of an index."""
    environment = client.environment
    if isinstance(environment, PythonEnvironment):
        text = (HERE / "locks" / f"{environment.lock}.txt").read_text()
        pins = re.split(r"(?m)^(?=\S)", text)[1:]
        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)
        assert "://" not in text
        return
    assert isinstance(environment, NodeEnvironment)
    packages = json.loads((HERE / environment.name / "package-lock.json").read_text())["packages"]
    assert all("integrity" in one for name, one in packages.items() if name)
    assert not any("resolved" in one for one in packages.values())

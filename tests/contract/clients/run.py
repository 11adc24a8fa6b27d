"""Run clients against the service: a row of cells for each client and upstream API."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.contract.clients.client import CASE_NAMES, OK, SEEN, VERSION, Client, models_of
from tests.contract.clients.environments import NotHere
from tests.contract.clients.judge import judged
from tests.contract.clients.served import Served

CROSSED: Final = {"chat": "messages", "responses": "chat", "messages": "chat", "generate": "chat"}
"""The upstream API that each client API is crossed with."""


@dataclass(slots=True)
class Row:
    """What one client's cases came to with one upstream API; no cells: it could not run here."""

    client: Client
    upstream: str
    cells: dict[str, str] = field(default_factory=dict)
    missing: str = ""

    @property
    def version(self) -> str:
        """Return the client's version."""
        return self.cells.get(VERSION, "")

    @property
    def cut_seen(self) -> str:
        """Return how the client shows a stream that was cut."""
        return self.cells.get(f"cut{SEEN}", "")

    @property
    def extras(self) -> list[str]:
        """Return the cases beyond those of every client that went well."""
        known = {*CASE_NAMES, VERSION}
        return [case for case, told in self.cells.items() if case not in known and told == OK]

    def faults(self) -> dict[str, str]:
        """Return what is neither green nor explained, and explanations that are out of date."""
        if self.missing:
            return {}
        found = {
            case: told
            for case, told in self.cells.items()
            if case != VERSION
            and told != OK
            and not case.endswith(SEEN)
            and case not in self.client.lacks
        }
        for case in CASE_NAMES:
            if case not in self.cells and case not in self.client.lacks:
                found[case] = "was not run"
        for case in self.client.lacks:
            if self.cells.get(case) == OK:
                found[case] = "works, though it is explained why it cannot"
        return found


def rows(
    clients: Iterable[Client], served: Served, upstreams: Iterable[str] = ("native", "crossed")
) -> Iterator[Row]:
    """Run each client with an upstream of its own API, and across APIs."""
    for client in clients:
        for kind in upstreams:
            upstream = client.api if kind == "native" else CROSSED[client.api]
            yield row(client, upstream, served)


def row(client: Client, upstream: str, served: Served) -> Row:
    """Run one client's cases, with a key of its own."""
    served.demo.forget()
    key_id, key = served.stack.make_key()
    models = models_of(upstream)
    try:
        cells = client.run(served, key, models)
    except NotHere as missing:
        return Row(client, upstream, missing=missing.reason)
    return Row(client, upstream, judged(cells, served, key_id, models))


def tell(one: Row) -> None:
    """Write a line for a row that is done."""
    faults = one.faults()
    told = one.missing or "; ".join(f"{case}: {text}" for case, text in faults.items()) or OK
    sys.stdout.write(f"{one.client.name} -> {one.upstream}\t{told}\n")
    sys.stdout.flush()

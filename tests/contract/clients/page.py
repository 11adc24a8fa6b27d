"""docs/clients.md: the matrix as a table, made from what a run found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from tests.contract.clients.client import CASE_NAMES, OK, Client
from tests.contract.clients.run import Row
from tests.support.recordings import PROJECT

PAGE: Final = PROJECT / "docs" / "clients.md"
API_NAMES: Final = {
    "chat": "Chat Completions",
    "responses": "Responses",
    "messages": "Anthropic Messages",
    "generate": "Google GenerateContent",
}
_INTRODUCTION: Final = """\
# Clients

Programs that developers already use work unmodified: only the address and the key change, and what
a note below says. `make clients` runs each in an environment of its own, of locked versions, and
writes this page (last: {day}). The program of each is in
[tests/contract/clients](../tests/contract/clients).

## How to point them here

`<origin>` is the service's address without a path, such as `http://127.0.0.1:8000`; `<key>` is an
API key.

"""
_MATRIX: Final = """\

## What works

Each client runs twice: with an upstream that speaks the client's API itself, and with one of
another API, so that requests, answers, streams and errors cross over.

| case | what is checked |
| --- | --- |
| text | a whole answer, its usage, its end; the usage record says succeeded and has a charge |
| stream | the stream's text is the whole answer's, and so is its usage where the client shows it |
| tools | a call with its arguments (official SDKs: streamed, too) and the answer to its result |
| error | a wrong key, an unknown model, a provider's refusal, as the client's own errors |
| cut | the provider breaks off: the client shows an error, the record says failed |
| cancel | the client leaves: the provider's call is cancelled, the record says cancelled |

Of the programs of a command line less can be seen: that they show the answer and asked for a
stream, send back a tool's result, show a provider's refusal, and do not take a part for the whole.
Those that repeat a request after a cut are stopped then.

Of all headers that these clients send, only those that a provider's API needs reach a provider: a
run that finds another one there fails.

"""
_CUTS: Final = """\

## What a cut stream looks like

An upstream that breaks off never becomes a clean end. In the stream comes an error of the client's
API (`upstream_cut`), then the connection is reset. What each client makes of it:

"""


def rendered(done: Iterable[Row], day: date) -> str:
    """Return the page."""
    rows = list(done)
    clients = list({id(one.client): one.client for one in rows}.values())
    pages = [
        _INTRODUCTION.format(day=day),
        _table(("client", "API", "setting"), [_setting(one) for one in clients]),
        _MATRIX,
        _table(
            ("client", "version", "its API", "upstream's API", *CASE_NAMES, "also"),
            [_matrix_row(one) for one in rows],
        ),
        _explanations(clients),
        _CUTS,
        _table(("client", "its API", "upstream's API", "shows"), _cut_rows(rows)),
    ]
    return "".join(pages)


def _setting(client: Client) -> tuple[str, ...]:
    note = f"; {client.note}" if client.note else ""
    return client.name, API_NAMES[client.api], client.setting + note


def _matrix_row(row: Row) -> tuple[str, ...]:
    start = (row.client.name, row.version, API_NAMES[row.client.api], API_NAMES[row.upstream])
    cells = [_cell(row, case) for case in CASE_NAMES]
    return *start, *cells, ", ".join(row.extras)


def _cell(row: Row, case: str) -> str:
    if row.missing:
        return f"not run: {row.missing}"
    if case in row.client.lacks:
        return "lacks it"
    told = row.cells.get(case, "was not run")
    return "yes" if told == OK else f"**no**: {told}"


def _explanations(clients: Sequence[Client]) -> str:
    lines = [
        f"- {one.name}, {case}: {reason}." for one in clients for case, reason in one.lacks.items()
    ]
    return "\nWhere a client itself lacks something:\n\n" + "\n".join(lines) + "\n"


def _cut_rows(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [
        (row.client.name, API_NAMES[row.client.api], API_NAMES[row.upstream], row.cut_seen)
        for row in rows
        if row.cut_seen
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(one)} |\n" for one in lines)

"""What the service answers of itself: balances, receipts, archives, and to the payment provider.

A stranger's event goes from the edge to core as it came, because only core can judge its signature,
and a page's id likewise. So these have canaries of a kind of their own, which may be in core's
memory and in calls to it. They must be gone then: no row, no line, no file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.leaktest.canaries import Case
from tests.leaktest.demands import head

NO_REQUEST = "req_" + "0" * 32
OTHERS = "ws_" + "0" * 32
TOO_LARGE_BYTES = (1 << 20) + 1
CANARY_BYTES = 27
MODULES = (
    *("edge.api.account.", "edge.api.receipts.", "edge.api.own_", "edge.webhooks."),
    *("edge.api.archives.", "edge.api.archive_", "core.access."),
    *("core.billing.", "core.proofs."),
)
"""Whose functions run for these requests only."""
_LONG_AGO_SECONDS = 100_000


@dataclass(frozen=True)
class Keys:
    """Secrets: one that may use models, one that nobody has, one that may have archives."""

    usual: str
    unknown: str
    archive: str


@dataclass(frozen=True)
class Question:
    """A request to the service itself, and the status of its answer while all is well."""

    name: str
    raw: bytes
    status: int


def questions(
    canary: Case, handed: Case, keys: Keys, request_id: str = NO_REQUEST
) -> Iterator[Question]:
    """Give requests to each of these endpoints; a receipt is asked for of `request_id`.

    `handed` makes the canaries of what is handed over to core.
    """
    key, unknown_key = keys.usual, keys.unknown
    word, trace = canary("path"), f"?trace={canary('query')}"
    found = 404 if request_id == NO_REQUEST else 200
    for name, path, sent_key, status in (
        ("balance", f"/v1/credits{trace}", key, 200),
        ("balance of no key", f"/v1/credits{trace}", word, 401),
        ("balance of an unknown key", f"/v1/credits{trace}", unknown_key, 401),
        ("balance, key in the URL", f"/v1/credits?key={key}&trace={word}", key, 400),
        ("receipt", f"/v1/receipts/{request_id}{trace}", key, found),
        ("receipt below /api", f"/api/v1/receipts/{request_id}{trace}", key, found),
        ("receipt of no id", f"/v1/receipts/{word}{trace}", key, 404),
        ("receipt of an id with more", f"/v1/receipts/{request_id}{word}", key, 404),
        ("receipt for an unknown key", f"/v1/receipts/{request_id}", unknown_key, 401),
        ("keys", f"/.well-known/1api-keys.json{trace}", key, 200),
        ("a page's return", f"/billing/return?session_id=cs_{handed('session')}", key, 200),
        ("return from nowhere", f"/billing/return?session_id={word}", key, 200),
    ):
        yield Question(name, head(canary, 0, sent_key, target=path, method="GET"), status)
    body = canary("body").encode()
    asked = head(canary, len(body), key, target=f"/v1/credits{trace}", method="GET")
    yield Question("balance with a body", asked + body, 200)
    yield from _archives(canary, keys)
    yield from _events(canary, handed, key)


def _archives(canary: Case, keys: Keys) -> Iterator[Question]:
    """Give requests to the archive, which has no month yet: whoever may not is put on record."""
    word, trace = canary("archive"), f"?trace={canary('query')}"
    for name, path, key, status in (
        ("archives", f"/v1/archives{trace}", keys.archive, 200),
        ("archives below /api", f"/api/v1/archives{trace}", keys.archive, 200),
        ("archives without the permission", f"/v1/archives{trace}", keys.usual, 403),
        ("archives for an unknown key", f"/v1/archives{trace}", keys.unknown, 401),
        ("archives, a wrong limit", f"/v1/archives?limit={word}", keys.archive, 400),
        ("archives, a wrong page", f"/v1/archives?after={word}", keys.archive, 400),
        ("archives of no workspace", f"/v1/archives?workspace_id={word}", keys.archive, 400),
        ("archives of others", f"/v1/archives?workspace_id={OTHERS}", keys.archive, 403),
        ("a month", f"/v1/archives/2026-01{trace}", keys.archive, 404),
        ("a month that is none", f"/v1/archives/{word}", keys.archive, 404),
        ("a month without the permission", f"/v1/archives/2026-01{trace}", keys.usual, 403),
        ("a file", f"/v1/archives/2026-01/usage.parquet{trace}", keys.archive, 404),
        ("a file that is none", f"/v1/archives/2026-01/{word}", keys.archive, 404),
        ("a file without the permission", f"/v1/archives/2026-01/{word}", keys.usual, 403),
    ):
        raw = head(canary, 0, key, target=path, method="GET")
        lines = f"range: bytes={canary('range')}-\r\nif-range: {canary('if-range')}\r\n"
        yield Question(name, raw[:-2] + lines.encode() + b"\r\n", status)


def _events(canary: Case, handed: Case, key: str) -> Iterator[Question]:
    """Give events that are not the provider's."""
    now, more = int(time.time()), f",v1=0badc0de,v0={handed('signature')}"
    inner = {"object": {"id": handed("event.object"), handed("event.field"): 1}}
    event = {"id": f"evt_{handed('event.id')}", "type": handed("event.type"), "data": inner}
    body = json.dumps(event).encode()
    large = canary("event.large").encode() * (TOO_LARGE_BYTES // CANARY_BYTES + 1)
    ours = canary("event").encode()
    for name, signature, sent, status in (
        ("forged event", f"t={now}{more}", body, 400),
        ("forged event, no JSON", f"t={now}{more}", handed("broken").encode(), 400),
        ("old event", f"t={now - _LONG_AGO_SECONDS}{more}", ours, 400),
        ("event of another form", canary("signature.form"), ours, 400),
        ("unsigned event", "", ours, 400),
        ("too large an event", f"t={now}{more}", large, 413),
    ):
        raw = head(canary, len(sent), key, target="/webhooks/stripe")
        line = f"stripe-signature: {signature}\r\n".encode() if signature else b""
        yield Question(name, raw[:-2] + line + b"\r\n" + sent, status)

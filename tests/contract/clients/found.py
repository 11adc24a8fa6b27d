"""What the last run of each client found, kept under build/: one can be run anew by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from tests.contract.clients.client import Client
from tests.contract.clients.environments import BUILD
from tests.contract.clients.run import CROSSED, Row

FILE: Final = BUILD / "found.json"


def keep(rows: Iterable[Row], day: date) -> None:
    """Put rows in the place of those of earlier runs."""
    kept = _read()
    for one in rows:
        kept[_key(one.client, one.upstream)] = {
            "day": day.isoformat(),
            "cells": one.cells,
            "missing": one.missing,
        }
    BUILD.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(kept, indent=1))


def complete(clients: Iterable[Client]) -> tuple[list[Row], date] | None:
    """Return a row for each client and upstream, and the day of the oldest; None if one lacks."""
    kept, rows, days = _read(), [], []
    for client in clients:
        for upstream in (client.api, CROSSED[client.api]):
            found = kept.get(_key(client, upstream))
            if found is None:
                return None
            rows.append(Row(client, upstream, found["cells"], found["missing"]))
            days.append(date.fromisoformat(found["day"]))
    return rows, min(days)


def _key(client: Client, upstream: str) -> str:
    return f"{client.name}, {client.api} -> {upstream}"


def _read() -> dict[str, Any]:
    if not FILE.exists():
        return {}
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read

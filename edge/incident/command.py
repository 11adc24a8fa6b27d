"""`1api incident <request id>`: everything known about one request, from metadata alone."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

import click

from kit.cli import Exit, output, wants_json
from kit.cli_calls import call, plain

_REQUEST_ID: Final = re.compile(r"req_[0-9a-f]{32}", re.ASCII)
_SHOWN: Final = (
    "request_id",
    "standing",
    "minted_at",
    "recorded_at",
    "sequence",
    "archived_before",
)
_LISTS: Final = ("alarms", "spool", "quarantine")


@click.command
@click.argument("request_id")
@click.pass_context
def incident(context: click.Context, request_id: str) -> None:
    """Tell everything that is known about a request (the x-request-id that the client saw).

    Core is asked, and the spools and quarantines below the data directory are looked through. Exit
    code 0: it is known; 3: nobody knows it; 5: core cannot be reached.
    """
    from edge.incident.meaning import is_known, meanings  # noqa: PLC0415 - commands start quickly
    from edge.incident.spools import frames_of, quarantined  # noqa: PLC0415
    from kit.ids import parse_id  # noqa: PLC0415
    from kit.settings import ProcessSettings  # noqa: PLC0415

    if not _REQUEST_ID.fullmatch(request_id):
        raise click.BadParameter("a request id is req_ and 32 hex digits")
    identifier, data_dir = parse_id("req", request_id), ProcessSettings().data_dir
    known = _ask_core(request_id)
    frames, bad = frames_of(data_dir, identifier), quarantined(data_dir, identifier)
    row = {
        **(known or {"request_id": request_id, "standing": None, "usage": None, "alarms": []}),
        "settlement": _settlement(known),
        "spool": [asdict(frame) for frame in frames],
        "quarantine": [asdict(one) for one in bad],
        "meaning": meanings(known, frames, bad),
    }
    _show(context, row)
    if known is None:
        context.exit(int(Exit.UNREACHABLE))
    if not is_known(known, frames, bad):
        context.exit(int(Exit.NOT_FOUND))


def _ask_core(request_id: str) -> dict[str, Any] | None:
    """Return what core knows; None if it cannot be reached."""
    import grpc  # noqa: PLC0415 - commands start quickly

    from kit.cli import CommandFailed  # noqa: PLC0415
    from kit.reasons import Unavailable  # noqa: PLC0415
    from kit.rpc.status import domain_error_of  # noqa: PLC0415

    try:
        answer = call("metering.v1.incident_service", "GetIncident", request_id=request_id)
    except grpc.RpcError as error:
        if isinstance(domain_error_of(error), Unavailable):
            return None
        raise
    except CommandFailed as failure:
        if failure.exit_code == Exit.UNREACHABLE:
            return None
        raise
    known = plain(answer.incident)
    attempts = (known["usage"] or {}).get("attempts", ())
    for attempt, name in zip(attempts, known.pop("attempt_upstreams"), strict=True):
        attempt["upstream"] = name or None
    return known


def _settlement(known: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the ledger transaction that charged it, with the wallet before and after."""
    usage = (known or {}).get("usage") or {}
    if not usage.get("settlement_id"):
        return None
    found = call(
        "billing.v1.ledger_service", "GetTransaction", transaction_id=usage["settlement_id"]
    )
    return plain(found)


def _show(context: click.Context, row: dict[str, Any]) -> None:
    if wants_json(context):
        output(context, row)
        return
    for line in row["meaning"]:
        click.echo(line)
    output(context, {name: row.get(name) for name in _SHOWN})
    for name in ("usage", "settlement", "claim", "process"):
        if row.get(name):
            click.echo(f"{name}:")
            output(context, row[name])
    for name in _LISTS:
        if row.get(name):
            click.echo(f"{name}:")
            output(context, row[name])

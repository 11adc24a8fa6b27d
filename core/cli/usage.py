"""`1api usage …`: usage records, one by one, as they come, and in sums."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import click

from core.cli.session import PAGE_SIZE, workspace_option
from kit.cli import output, output_line, wants_json
from kit.cli_calls import call, dollars, time_of, word

SERVICE: Final = "metering.v1.usage_service"
_HOT_STATES: Final = frozenset({"hot", "eligible", "frozen"})
SHOWN_TO_PEOPLE: Final = 100
SHOWN_TO_PROGRAMS: Final = 100_000
_WORDS: Final = (
    "requested_lane",
    "served_lane",
    "endpoint",
    "outcome",
    "error_class",
    "finish_reason",
    "usage_source",
    "waive_reason",
    "data_policy",
)
_PLAIN: Final = (
    "streamed",
    "http_status",
    "first_token_ms",
    "total_ms",
    "price_version",
    "delivered_events",
    "attempts_omitted",
    "edge_id",
    "epoch",
)
_COLUMNS: Final = (
    "request_id",
    "started_at",
    "model",
    "served_lane",
    "upstream",
    "input_tokens",
    "output_tokens",
    "outcome",
    "http_status",
    "total_ms",
    "charge",
)


@click.group()
def usage() -> None:
    """Read usage records and sums."""


def _range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    before = click.option("--until", type=click.DateTime(), help="Before this time, UTC.")
    return click.option("--since", type=click.DateTime(), help="From this time on, UTC.")(
        before(command)
    )


@usage.command("list")
@click.option("--key", "key_id", metavar="KEY_ID", default="", help="Only of this key.")
@click.option(
    "--limit",
    type=click.IntRange(1, SHOWN_TO_PROGRAMS),
    help=f"By default {SHOWN_TO_PEOPLE}, with --json {SHOWN_TO_PROGRAMS}.",
)
@_range_options
@workspace_option
@click.pass_context
def list_usage(
    context: click.Context,
    /,
    workspace: str,
    key_id: str,
    limit: int | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """List usage records, newest first."""
    limit = limit or (SHOWN_TO_PROGRAMS if wants_json(context) else SHOWN_TO_PEOPLE)
    rows: list[dict[str, Any]] = []
    page, token = None, ""
    while len(rows) < limit:
        page = call(
            SERVICE,
            "ListUsage",
            workspace_id=workspace,
            key_id=key_id,
            started_from=since,
            started_before=until,
            page_size=min(PAGE_SIZE, limit - len(rows)),
            page_token=token,
        )
        rows += [_row(item) for item in page.usages]
        token = page.next_page_token
        if not token:
            break
    output(context, rows, table=_COLUMNS)
    _tell_of_archive(context, page)


@usage.command()
@click.argument("request_id")
@click.pass_context
def show(context: click.Context, request_id: str) -> None:
    """Show one usage record by its request id (the x-request-id that the client saw)."""
    output(context, _row(call(SERVICE, "GetUsage", request_id=request_id).usage))


@usage.command("sum")
@_range_options
@workspace_option
@click.pass_context
def sum_usage(
    context: click.Context, workspace: str, since: datetime | None, until: datetime | None
) -> None:
    """Sum usage and charges by model and lane, and in total."""
    answer = call(
        SERVICE, "SumUsage", workspace_id=workspace, started_from=since, started_before=until
    )
    rows, total = [_sum(item) for item in answer.sums], _sum(answer.total)
    if wants_json(context):
        output(context, {"sums": rows, "total": total})
    else:
        output(context, [*rows, {**total, "model": "total"}])
    _tell_of_archive(context, answer)


@usage.command()
@click.pass_context
def months(context: click.Context) -> None:
    """Show where each month's records are: hot, or on their way through the archive."""
    listed = call("partitions.v1.partition_service", "ListMonths").months
    output(context, [_month(item) for item in listed])


@usage.command()
@workspace_option
@click.pass_context
def tail(context: click.Context, workspace: str) -> None:
    """Show usage records as they come in, until interrupted."""
    from kit.cli_link import core_channel  # noqa: PLC0415 - commands start quickly
    from oneapi.metering.v1.usage_service_pb2 import TailUsageRequest  # noqa: PLC0415
    from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub  # noqa: PLC0415

    request = TailUsageRequest(workspace_id=workspace)
    with core_channel() as channel:
        for answer in UsageServiceStub(channel).TailUsage(request):
            row = _row(answer.usage)
            shown = row if wants_json(context) else {name: row[name] for name in _COLUMNS}
            output_line(context, shown)


def _tell_of_archive(context: click.Context, answer: Any) -> None:
    """Say which records are elsewhere; programs see it in `1api usage months`."""
    if answer is not None and answer.HasField("archived_before") and not wants_json(context):
        day = answer.archived_before.ToJsonString()[:10]
        click.echo(f"Records before {day} are in the archive: 1api archive list", err=True)


def _month(item: Any) -> dict[str, Any]:
    state = word(item, "state")
    times = ("eligible_at", "frozen_at", "published_at", "dropped_at", "expired_at")
    return {
        "month": item.month,
        "state": state,
        "read_from": "hot" if state in _HOT_STATES else "archive",
        "revision": item.revision,
        "late_records": item.late_records,
        **{name: time_of(item, name) for name in times},
    }


def _row(item: Any) -> dict[str, Any]:
    return {
        "request_id": item.request_id,
        "workspace_id": item.workspace_id,
        "key_id": item.key_id,
        "started_at": time_of(item, "started_at"),
        "model": item.model,
        "upstream": item.upstream or None,
        **{name: word(item, name) for name in _WORDS},
        **_quantities(item.quantities),
        **{name: getattr(item, name) for name in _PLAIN},
        "charge": dollars(item.charge),
        "waived": dollars(item.waived),
        "hold": dollars(item.hold),
        "attempts": [_attempt(attempt) for attempt in item.attempts],
        "settlement_id": item.settlement_id or None,
    }


def _sum(item: Any) -> dict[str, Any]:
    quantities = _quantities(item.quantities)
    # How many requests there were is counted apart from the dimension of that name.
    del quantities["requests"]
    return {
        "model": item.model,
        "lane": word(item, "lane"),
        "requests": item.requests,
        "failed_requests": item.failed_requests,
        **quantities,
        "charge": dollars(item.charge),
        "waived": dollars(item.waived),
    }


def _quantities(message: Any) -> dict[str, int]:
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}


def _attempt(attempt: Any) -> dict[str, Any]:
    return {
        "upstream_number": attempt.upstream_number,
        "http_status": attempt.http_status,
        "error_class": word(attempt, "error_class"),
        "started_ms": attempt.started_ms,
        "duration_ms": attempt.duration_ms,
    }

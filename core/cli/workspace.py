"""`1api workspace …`: the tenants and what holds for all of their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from core.cli.key import LANES
from core.cli.session import nanos_of, new_call_id, pages
from kit.cli import output
from kit.cli_calls import call, dollars, time_of, word

if TYPE_CHECKING:
    from oneapi.accounts.v1.workspace_pb2 import SpendLimits, Workspace
    from oneapi.common.v1.lane_pb2 import Lane

SERVICE: Final = "accounts.v1.workspace_service"
_SPEND: Final = ("per_day", "per_month", "total")
_COLUMNS: Final = ("workspace_id", "name", "state", "lane", "zero_retention", "created_at")


@click.group()
def workspace() -> None:
    """Create, change, suspend and resume workspaces."""


def _settings_options(command: Any) -> Any:
    for option in (
        click.option("--lane", type=click.Choice(LANES), help="Lane of requests that choose none."),
        click.option(
            "--zero-retention/--no-zero-retention",
            default=None,
            help="Only upstreams that keep nothing may serve it, whatever its keys say.",
        ),
        click.option(
            "--cors-origin",
            "cors_origins",
            multiple=True,
            metavar="ORIGIN",
            help="Web origin whose pages may use its keys, such as https://app.example.com; "
            "repeat for more.",
        ),
        click.option("--spend-per-day", metavar="USD", help="Of all keys together; 0: no limit."),
        click.option("--spend-per-month", metavar="USD"),
        click.option("--spend-total", metavar="USD"),
    ):
        command = option(command)
    return command


@workspace.command()
@click.argument("name")
@_settings_options
@click.pass_context
def create(
    context: click.Context,
    /,
    name: str,
    lane: str | None,
    cors_origins: tuple[str, ...],
    spend_per_day: str | None,
    spend_per_month: str | None,
    spend_total: str | None,
    *,
    zero_retention: bool | None,
) -> None:
    """Create a workspace with its empty wallet."""
    answer = call(
        SERVICE,
        "CreateWorkspace",
        request_id=new_call_id(),
        display_name=name,
        default_lane=_lane(lane or LANES[0]),
        requires_zero_retention=bool(zero_retention),
        cors_origins=cors_origins,
        spend_limits=_spend_limits(None, (spend_per_day, spend_per_month, spend_total)),
    )
    output(context, _row(answer.workspace))


@workspace.command("list")
@click.pass_context
def list_workspaces(context: click.Context) -> None:
    """List the workspaces, newest first."""
    found = pages(SERVICE, "ListWorkspaces", "workspaces")
    output(context, [_row(item) for item in found], table=_COLUMNS)


@workspace.command()
@click.argument("workspace_id")
@click.pass_context
def show(context: click.Context, workspace_id: str) -> None:
    """Show one workspace."""
    output(context, _row(call(SERVICE, "GetWorkspace", workspace_id=workspace_id).workspace))


@workspace.command()
@click.argument("workspace_id")
@click.option("--name", help="A new name.")
@click.option("--no-cors", is_flag=True, help="No web page may use its keys any more.")
@_settings_options
@click.pass_context
def update(  # noqa: PLR0913 - an option each
    context: click.Context,
    /,
    workspace_id: str,
    name: str | None,
    lane: str | None,
    cors_origins: tuple[str, ...],
    spend_per_day: str | None,
    spend_per_month: str | None,
    spend_total: str | None,
    *,
    no_cors: bool,
    zero_retention: bool | None,
) -> None:
    """Change a workspace's name and settings; what is not said stays as it is."""
    if no_cors and cors_origins:
        raise click.UsageError("--no-cors and --cors-origin exclude each other")
    before = call(SERVICE, "GetWorkspace", workspace_id=workspace_id).workspace
    zero = before.requires_zero_retention if zero_retention is None else zero_retention
    kept = () if no_cors else before.cors_origins
    answer = call(
        SERVICE,
        "UpdateWorkspace",
        workspace_id=workspace_id,
        display_name=name or before.display_name,
        default_lane=before.default_lane if lane is None else _lane(lane),
        requires_zero_retention=zero,
        cors_origins=cors_origins or kept,
        spend_limits=_spend_limits(before, (spend_per_day, spend_per_month, spend_total)),
        expected_version=before.version,
    )
    output(context, _row(answer.workspace))


def _step(method: str, name: str, text: str) -> None:
    @workspace.command(name, help=text)
    @click.argument("workspace_id")
    @click.pass_context
    def step(context: click.Context, workspace_id: str) -> None:
        output(context, _row(call(SERVICE, method, workspace_id=workspace_id).workspace))


_step("SuspendWorkspace", "suspend", "Stop serving a workspace on every edge.")
_step("ResumeWorkspace", "resume", "Serve a suspended workspace again.")


def _lane(name: str) -> Lane.ValueType:
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    return Lane.Value(f"LANE_{name.upper()}")


def _spend_limits(before: Workspace | None, wanted: tuple[str | None, ...]) -> SpendLimits:
    """Return the limits of day, month and life: those before, but for what is wanted."""
    from oneapi.accounts.v1.workspace_pb2 import SpendLimits  # noqa: PLC0415

    limits = SpendLimits()
    if before is not None:
        limits.CopyFrom(before.spend_limits)
    for name, text in zip(_SPEND, wanted, strict=True):
        if text is not None:
            getattr(limits, name).amount_nanos = nanos_of(text)
            getattr(limits, name).currency_code = "USD"
    return limits


def _limit(limits: SpendLimits, name: str) -> str | None:
    amount = getattr(limits, name)
    return dollars(amount) if amount.amount_nanos else None


def _row(item: Workspace) -> dict[str, Any]:
    return {
        "workspace_id": item.workspace_id,
        "name": item.display_name,
        "state": word(item, "state"),
        "lane": word(item, "default_lane"),
        "zero_retention": item.requires_zero_retention,
        "cors_origins": list(item.cors_origins),
        **{f"spend_{name}": _limit(item.spend_limits, name) for name in _SPEND},
        "created_at": time_of(item, "created_at"),
        "version": item.version,
    }

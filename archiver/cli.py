"""`1api archive …`: run the archive, see how far it is, and have its files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from archiver.cli_files import download, list_months
from archiver.cli_verify import verify
from kit.cli import CommandFailed, Exit, json_option, output, output_line, wants_json
from kit.cli_calls import plain

RUN_SECONDS: Final = 24 * 3_600.0


@click.group()
def archive() -> None:
    """Look after the archive of usage metadata."""


@archive.command()
@click.argument("month", default="")
@json_option
@click.pass_context
def run(context: click.Context, month: str) -> None:
    """Do what is due now: freeze, export, publish, detach, drop, expire; or only for MONTH."""
    # Imported here, so that `1api --help` does not wait for gRPC.
    from kit.cli_link import archiver_channel  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2 as pb  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2_grpc as rpc  # noqa: PLC0415

    with archiver_channel() as channel:
        request = pb.RunArchiveRequest(month=month)
        steps = rpc.ArchiveServiceStub(channel).RunArchive(request, timeout=RUN_SECONDS)
        if wants_json(context):
            for step in steps:
                output_line(context, _step(step))
        else:
            _show_progress(steps)


@archive.command()
@json_option
@click.pass_context
def status(context: click.Context) -> None:
    """Say whether the archiver serves, and how far each month is."""
    target, answer = _ask()
    months = None if answer is None else [plain(month) for month in answer.months]
    if wants_json(context):
        told: dict[str, Any] = {"target": target, "serving": True, "months": months}
        if answer is not None:
            told |= {"store": answer.store, "leading": answer.leading}
        output(context, told)
    elif answer is None:
        click.echo("The archiver serves, but core cannot be reached.")
    else:
        works = "works" if answer.leading else "waits for the lease"
        click.echo(f"The archiver serves and {works}. Files: {answer.store}.")
        output(context, months or [])


@archive.command()
@click.option("--key", "key_id", help="The key whose id is to go, such as key_….")
@click.option("--all-keys", is_flag=True, help="The ids of all keys of the workspace.")
@click.option("--workspace", help="By default the example workspace.")
@json_option
@click.pass_context
def erase(
    context: click.Context, *, key_id: str | None, all_keys: bool, workspace: str | None
) -> None:
    """Take keys' ids out of a workspace's archived months, for good.

    Records, sums and proofs stay. Months that are not in the archive yet keep the ids: repeat it
    when they are.
    """
    from kit.cli_link import archiver_channel, default_workspace  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2 as pb  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2_grpc as rpc  # noqa: PLC0415

    if bool(key_id) == all_keys:
        raise CommandFailed(
            "Name either --key or --all-keys.", code=Exit.USAGE, reason="KEY_MISSING"
        )
    request = pb.EraseKeysRequest(
        workspace_id=workspace or default_workspace(), key_id=key_id or ""
    )
    with archiver_channel() as channel:
        answer = rpc.ArchiveServiceStub(channel).EraseKeys(request, timeout=RUN_SECONDS)
    rows = [{"month": each.month, "records": each.records} for each in answer.months]
    output(context, rows, table=("month", "records"))


def _ask() -> tuple[str, Any]:
    """Return where the archiver is, and its status; None while core cannot be reached."""
    import grpc  # noqa: PLC0415 - commands start quickly

    from kit.cli_link import CALL_SECONDS, archiver_channel, archiver_target  # noqa: PLC0415
    from kit.rpc.health import is_serving  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2 as pb  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2_grpc as rpc  # noqa: PLC0415

    target = archiver_target()
    if not is_serving(target):
        raise CommandFailed(
            "The archiver cannot be reached.", code=Exit.UNREACHABLE, reason="UNREACHABLE"
        )
    with archiver_channel() as channel:
        stub = rpc.ArchiveServiceStub(channel)
        try:
            return target, stub.GetArchiveStatus(pb.GetArchiveStatusRequest(), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
    return target, None


def _step(step: Any) -> dict[str, Any]:
    return {
        "month": step.month,
        "step": step.step,
        "rows_done": step.rows_done,
        "rows_total": step.rows_total,
        "done": step.done,
    }


def _show_progress(steps: Iterable[Any]) -> None:
    """Show a line for each step of a month, with the rows that went through it."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(finished_text="done"),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    shown: dict[tuple[str, str], Any] = {}
    with Progress(*columns) as progress:
        for step in steps:
            name = (step.month, step.step)
            if name not in shown:
                shown[name] = progress.add_task(" ".join(name), total=1, rows="")
            rows = f"{step.rows_done:,} rows" if step.rows_done else None
            progress.update(shown[name], completed=int(step.done))
            if rows is not None:
                progress.update(shown[name], rows=rows)
    if not shown:
        click.echo("Nothing is due.")


for _command in (list_months, download, verify):
    archive.add_command(_command)

commands: list[click.Command] = [archive]

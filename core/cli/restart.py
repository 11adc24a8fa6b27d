"""`1api restart …`: exchange running processes one after the other, without losing a request."""

from __future__ import annotations

import click

from kit.cli import output_line

_PARTS = ("edge", "core", "archiver", "postgres", "all")


@click.command
@click.argument("part", type=click.Choice(_PARTS))
@click.option(
    "--wait", is_flag=True, help="Wait until replaced edge workers have finished their streams."
)
@click.pass_context
def restart(context: click.Context, part: str, *, wait: bool) -> None:
    """Restart a part of the running `1api up`, or all of it but PostgreSQL.

    A replacement serves before the old process stops accepting. An old edge worker finishes what it
    has begun, for at most ONEAPI_RETIRE_SECONDS. If a replacement does not serve, the old process
    goes on and the exit code is 1. PostgreSQL is stopped and started; core waits for it.
    """
    from core.up.control import ask  # noqa: PLC0415 - commands start quickly
    from kit.settings import ProcessSettings  # noqa: PLC0415

    folder = ProcessSettings().data_dir.absolute()
    for row in ask(folder, {"command": "restart", "part": part, "wait": wait}):
        output_line(context, row)

"""`1api up`: run everything on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os

import click

from kit.cli import json_option, wants_json
from kit.process import stop_with_parent


@click.command
@json_option
@click.option(
    "--with-parent", is_flag=True, help="Stop when the program that started this command ends."
)
@click.pass_context
def up(context: click.Context, *, with_parent: bool) -> None:
    """Run edge, core, archiver and PostgreSQL on this machine until Ctrl-C."""
    # Imported here, so that no other command waits for it.
    from core.up.reporter import Reporter  # noqa: PLC0415
    from core.up.run import run  # noqa: PLC0415
    from core.up.settings import read_settings  # noqa: PLC0415

    if with_parent:
        stop_with_parent()
    # Whatever is written from here on, by us or by our children, is for this user only.
    os.umask(0o077)
    reporter = Reporter(write_line, as_json=wants_json(context))
    asyncio.run(run(read_settings(), reporter))


def write_line(line: str) -> None:
    """Write a line on standard output; one that cannot be written ends nothing.

    A file on a full disk, or a program that no longer reads, must not stop the service.
    """
    with contextlib.suppress(OSError):
        click.echo(line)

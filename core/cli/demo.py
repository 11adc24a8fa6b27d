"""`1api demo …`: made-up data, to see on this machine what otherwise takes months."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from kit.cli import CommandFailed, Exit, json_option, output

if TYPE_CHECKING:
    from core.demo_usage.maker import Plan
    from core.settings import CoreSettings

MONTHS_MAX = 30
"""As far back as ids may lie (`core.metering.model.OLDEST_MONTHS`)."""
ROWS_MAX = 50_000_000
WORKSPACES_MAX = 1_000


@click.group()
def demo() -> None:
    """Make data that looks like months of use; dev profile only."""


@demo.command()
@click.option("--months", type=click.IntRange(1, MONTHS_MAX), default=6, show_default=True)
@click.option("--rows", type=click.IntRange(1, ROWS_MAX), default=20_000, show_default=True)
@click.option("--workspaces", type=click.IntRange(1, WORKSPACES_MAX), default=5, show_default=True)
@click.option("--seed", default="1", show_default=True, help="Varies what is made.")
@json_option
@click.pass_context
def usage(context: click.Context, months: int, rows: int, workspaces: int, seed: str) -> None:
    """Make usage of past months, with credit, charges and settlements, in new workspaces.

    Months end with the last whole one. Those that are old enough are archived in the archiver's
    next round; `1api archive run` begins one.
    """
    from core.demo_usage.maker import Plan  # noqa: PLC0415 - other commands need no database

    plan = Plan(_last_whole_month(), months, rows, workspaces, seed)
    output(context, asyncio.run(_make(plan)))


async def _make(plan: Plan) -> dict[str, object]:
    from core.db.database import Database  # noqa: PLC0415
    from core.demo_usage.hold import ArchiveHold, ArchiverWorks  # noqa: PLC0415
    from core.demo_usage.maker import (  # noqa: PLC0415
        Maker,
        MonthsArchived,
        NoPrices,
        RecordsRefused,
    )
    from core.keyring import load_or_make_keyring  # noqa: PLC0415
    from kit.clock import clock_for  # noqa: PLC0415
    from kit.ids import IdSource  # noqa: PLC0415
    from kit.money import format_dollars  # noqa: PLC0415

    settings = _dev_settings()
    database = Database.connect(settings.database_url)
    try:
        peppers = load_or_make_keyring(settings.peppers)
        ids = IdSource()
        clock = clock_for(settings.test_clock, settings.profile)
        hold = ArchiveHold(database.jobs, clock, ids)
        made = await Maker(database.jobs, ids, peppers, plan, hold).make(_show)
    except NoPrices:
        raise CommandFailed("The catalogue has no price yet.", reason="NO_PRICES") from None
    except MonthsArchived as error:
        message = f"{error.metadata['month']} is in the archive: nothing can be added."
        raise CommandFailed(message, code=Exit.REFUSED, reason="MONTHS_ARCHIVED") from None
    except RecordsRefused as error:
        found = error.metadata
        message = f"{found['records']} made-up records of {found['month']} were refused."
        raise CommandFailed(message, reason="RECORDS_REFUSED") from None
    except ArchiverWorks:
        message = "The archiver is at work; try again when it is through."
        raise CommandFailed(message, code=Exit.UNREACHABLE, reason="ARCHIVER_WORKS") from None
    finally:
        await database.close()
    return {
        "workspaces": made.workspaces,
        "rows": made.rows,
        "charged": format_dollars(made.charged_nanos),
    }


def _dev_settings() -> CoreSettings:
    from core.settings import CoreSettings  # noqa: PLC0415
    from kit.cli_link import read_ready  # noqa: PLC0415
    from kit.settings import ProcessSettings  # noqa: PLC0415

    settings = ProcessSettings()
    if settings.profile != "dev":
        raise CommandFailed(
            "Made-up usage is for the dev profile only.", code=Exit.REFUSED, reason="NOT_DEV"
        )
    url = os.environ.get("DATABASE_URL") or read_ready(settings.data_dir).get("database_url")
    if not url:
        raise CommandFailed(
            "The service does not run here; start it, or set DATABASE_URL.",
            code=Exit.UNREACHABLE,
            reason="NO_DATABASE",
        )
    return CoreSettings(DATABASE_URL=url)


def _last_whole_month() -> date:
    from core.metering.model import add_months  # noqa: PLC0415

    return add_months(datetime.now(UTC).date().replace(day=1), -1)


def _show(month: date, rows: int) -> None:
    click.echo(f"{month:%Y-%m}  {rows} rows", err=True)

"""`1api ledger …`: transactions with their entries, and the sums of all accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Final

import click

from core.cli.session import PAGE_SIZE, workspace_option
from kit.cli import Exit, output, wants_json
from kit.cli_calls import call, dollars, plain, time_of

SERVICE: Final = "billing.v1.ledger_service"
STATEMENTS: Final = "billing.v1.statement_service"
EXPORT_SECONDS: Final = 3_600.0
_LINE_COLUMNS: Final = ("posted_at", "section", "kind", "amount", "document_number")
_COLUMNS: Final = ("transaction_id", "kind", "created_at", "actor", "entries")


@click.group()
def ledger() -> None:
    """Read the ledger."""


@ledger.command()
@click.argument("transaction_id", required=False)
@click.pass_context
def show(context: click.Context, transaction_id: str | None) -> None:
    """Show one transaction with its entries; the newest ones if none is named."""
    if transaction_id is None:
        output(context, _newest("", 20), table=_COLUMNS)
        return
    answer = call(SERVICE, "GetTransaction", transaction_id=transaction_id)
    output(context, _row(answer.transaction))


@ledger.command("list")
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.pass_context
def list_transactions(context: click.Context, workspace: str, limit: int) -> None:
    """List transactions, newest first."""
    output(context, _newest(workspace, limit), table=_COLUMNS)


@ledger.command("trial-balance")
@click.pass_context
def trial_balance(context: click.Context) -> None:
    """Sum every account; together they are zero, or the exit code is 1."""
    answer = call(SERVICE, "GetTrialBalance")
    sums = {item.account: dollars(item.amount) for item in answer.sums}
    output(context, {"accounts": sums, "total": dollars(answer.total)})
    if answer.total.amount_nanos != 0:
        context.exit(1)


@ledger.command()
@click.option("--month", required=True, metavar="YYYY-MM", help="By posting date, UTC.")
@workspace_option
@click.pass_context
def statement(context: click.Context, workspace: str, month: str) -> None:
    """Show what happened to a workspace's credit in a month; exit code 1 if it does not add up."""
    found = call(STATEMENTS, "GetStatement", workspace_id=workspace, month=month).statement
    shown = plain(found)
    if wants_json(context):
        output(context, shown)
    else:
        rows = [{"what": "opening balance", "amount": _net(shown["opening"])}]
        rows += [{"what": each["section"], "amount": each["amount"]} for each in shown["sums"]]
        rows.append({"what": "closing balance", "amount": _net(shown["closing"])})
        output(context, rows)
        if shown["lines"]:
            output(context, shown["lines"], table=_LINE_COLUMNS)
        if shown["usage"]:
            output(context, shown["usage"])
    if not found.adds_up:
        context.exit(int(Exit.FAILED))


@ledger.command()
@click.option("--format", "file_format", type=click.Choice(["beancount"]), default="beancount")
@click.option("--month", metavar="YYYY-MM", help="Only of this month; all by default.")
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.option("--output", "target", type=click.File("w"), default="-", help="Standard output.")
def export(file_format: str, month: str | None, workspace: str, target: IO[str]) -> None:
    """Write the ledger for another program."""
    from core.cli.beancount import beancount_lines  # noqa: PLC0415 - commands start quickly

    formats = {"beancount": beancount_lines}
    for line in formats[file_format](_exported(workspace, month)):
        target.write(line + "\n")


def _exported(workspace: str, month: str | None) -> Iterator[Any]:
    """Read the transactions as they stream."""
    from kit.cli_link import core_channel  # noqa: PLC0415
    from oneapi.billing.v1.statement_service_pb2 import ExportTransactionsRequest  # noqa: PLC0415
    from oneapi.billing.v1.statement_service_pb2_grpc import StatementServiceStub  # noqa: PLC0415

    request = ExportTransactionsRequest(workspace_id=workspace)
    if month is not None:
        first, after = _bounds(month)
        request.posted_from.FromDatetime(first)
        request.posted_before.FromDatetime(after)
    with core_channel() as channel:
        stub = StatementServiceStub(channel)
        for answer in stub.ExportTransactions(request, timeout=EXPORT_SECONDS):
            yield from answer.transactions


def _bounds(month: str) -> tuple[datetime, datetime]:
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise click.BadParameter("a month is such as 2026-11") from None
    return first, (first + timedelta(days=31)).replace(day=1)


def _net(standing: Mapping[str, str]) -> str:
    from kit.money import format_dollars, parse_dollars  # noqa: PLC0415

    return format_dollars(parse_dollars(standing["total"]) - parse_dollars(standing["debt"]))


def _newest(workspace: str, limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    token = ""
    while len(rows) < limit:
        page = call(
            SERVICE,
            "ListTransactions",
            workspace_id=workspace,
            page_size=min(PAGE_SIZE, limit - len(rows)),
            page_token=token,
        )
        rows += [_row(item) for item in page.transactions]
        token = page.next_page_token
        if not token:
            break
    return rows


def _row(item: Any) -> dict[str, Any]:
    return {
        "transaction_id": item.transaction_id,
        "kind": item.kind,
        "business_key": item.business_key,
        "effective_at": time_of(item, "effective_at"),
        "created_at": time_of(item, "created_at"),
        "actor": item.actor,
        "entries": [_entry(entry) for entry in item.entries],
        "records_root": item.records_root.hex() or None,
        "record_count": item.record_count,
    }


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "account": entry.account,
        "grant_id": entry.grant_id or None,
        "amount": dollars(entry.amount),
    }

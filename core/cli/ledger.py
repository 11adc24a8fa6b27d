"""`1api ledger …`: transactions with their entries, and the sums of all accounts."""

from __future__ import annotations

from typing import Any, Final

import click

from core.cli.session import PAGE_SIZE
from kit.cli import output
from kit.cli_calls import call, dollars, time_of

SERVICE: Final = "billing.v1.ledger_service"
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

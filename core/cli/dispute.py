"""`1api dispute …`: disputes, the evidence about them, fraud warnings, debts given up."""

from __future__ import annotations

from typing import Final

import click

from core.cli.money_rows import balance_row
from core.cli.session import nanos_of, new_call_id, pages, workspace_option
from kit.cli import output
from kit.cli_calls import call, plain

SERVICE: Final = "billing.v1.dispute_service"
_COLUMNS: Final = ("dispute_id", "payment_id", "state", "reason", "amount", "frozen", "owed")
_WARNING_COLUMNS: Final = ("stripe_id", "payment_id", "kind", "actionable", "created_at")


@click.group()
def dispute() -> None:
    """Follow disputes and give evidence."""


@dispute.command("list")
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not settled.")
@click.pass_context
def list_disputes(context: click.Context, workspace: str, *, open_only: bool) -> None:
    """List disputes, newest first."""
    found = pages(SERVICE, "ListDisputes", "disputes", workspace_id=workspace, open_only=open_only)
    output(context, [plain(item) for item in found], table=_COLUMNS)


@dispute.command()
@click.argument("dispute_id")
@click.pass_context
def show(context: click.Context, dispute_id: str) -> None:
    """Show one dispute."""
    output(context, plain(call(SERVICE, "GetDispute", dispute_id=dispute_id).dispute))


@dispute.command()
@click.argument("dispute_id")
@click.pass_context
def evidence(context: click.Context, dispute_id: str) -> None:
    """Show what speaks for us: use after the payment, by day, key and model."""
    output(context, plain(call(SERVICE, "GetEvidence", dispute_id=dispute_id).evidence))


@dispute.command()
@click.argument("dispute_id")
@click.pass_context
def submit(context: click.Context, dispute_id: str) -> None:
    """Give that evidence to the bank; this is final."""
    output(context, plain(call(SERVICE, "SubmitEvidence", dispute_id=dispute_id).dispute))


@dispute.command()
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.pass_context
def warnings(context: click.Context, workspace: str) -> None:
    """List early fraud warnings, newest first."""
    found = pages(SERVICE, "ListFraudWarnings", "warnings", workspace_id=workspace)
    output(context, [plain(item) for item in found], table=_WARNING_COLUMNS)


@dispute.command("write-off")
@click.option("--amount", required=True, metavar="USD", help="At most what is owed.")
@click.option("--request-id", help="Repeat a call with the same id and nothing happens twice.")
@workspace_option
@click.pass_context
def write_off(
    context: click.Context, /, workspace: str, amount: str, request_id: str | None
) -> None:
    """Give up a debt of a workspace (finance only)."""
    answer = call(
        SERVICE,
        "WriteOffDebt",
        caller="finance",
        request_id=request_id or new_call_id(),
        workspace_id=workspace,
        amount={"amount_nanos": nanos_of(amount), "currency_code": "USD"},
    )
    output(context, balance_row(answer.balance))

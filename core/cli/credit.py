"""`1api credit …`: what a workspace has, and giving it credit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

from core.cli import payment
from core.cli.money_rows import balance_row
from core.cli.session import nanos_of, new_call_id, pages, workspace_option
from kit.cli import output
from kit.cli_calls import call, dollars, time_of, word

SERVICE: Final = "billing.v1.credit_service"


@click.group()
def credit() -> None:
    """Read balances, give credit, buy credit."""


for _command in (
    payment.buy,
    payment.payments,
    payment.auto,
    payment.card,
    payment.profile,
    payment.reconcile,
):
    credit.add_command(_command)


@credit.command()
@workspace_option
@click.pass_context
def balance(context: click.Context, workspace: str) -> None:
    """Show total = held + available + frozen, and the debt, in US dollars."""
    answer = call(SERVICE, "GetBalance", workspace_id=workspace)
    output(context, balance_row(answer.balance))


@credit.command()
@click.option("--amount", required=True, metavar="USD", help="Such as 5.00.")
@click.option(
    "--kind",
    type=click.Choice(["promotional", "goodwill"]),
    default="promotional",
    show_default=True,
)
@click.option("--expires-at", type=click.DateTime(), help="UTC; never by default.")
@click.option("--request-id", help="Repeat a call with the same id and nothing is given twice.")
@workspace_option
@click.pass_context
def grant(
    context: click.Context,
    /,
    workspace: str,
    amount: str,
    kind: str,
    expires_at: datetime | None,
    request_id: str | None,
) -> None:
    """Give promotional or goodwill credit; a debt is paid first."""
    from oneapi.billing.v1.ledger_pb2 import CreditGrant  # noqa: PLC0415

    answer = call(
        SERVICE,
        "GrantCredit",
        request_id=request_id or new_call_id(),
        workspace_id=workspace,
        kind=CreditGrant.Kind.Value(f"KIND_{kind.upper()}"),
        amount={"amount_nanos": nanos_of(amount), "currency_code": "USD"},
        expires_at=expires_at,
    )
    output(context, {**_grant_row(answer.grant), "balance": balance_row(answer.balance)})


@credit.command()
@click.argument("request_id")
@click.option("--amount", required=True, metavar="USD", help="Such as 0.05.")
@click.option(
    "--reason",
    type=click.Choice(["wrong_charge", "service_fault", "agreed"]),
    default="wrong_charge",
    show_default=True,
)
@click.option("--call-id", help="Repeat a call with the same id and nothing is given back twice.")
@click.pass_context
def correct(
    context: click.Context, request_id: str, amount: str, reason: str, call_id: str | None
) -> None:
    """Give back a part of what a request was charged, to the credit that paid it."""
    from oneapi.billing.v1.credit_service_pb2 import CorrectChargeRequest  # noqa: PLC0415

    answer = call(
        SERVICE,
        "CorrectCharge",
        request_id=call_id or new_call_id(),
        charged_request_id=request_id,
        amount={"amount_nanos": nanos_of(amount), "currency_code": "USD"},
        reason=CorrectChargeRequest.Reason.Value(f"REASON_{reason.upper()}"),
    )
    balance_after = balance_row(answer.balance)
    output(context, {"transaction_id": answer.transaction_id, "balance": balance_after})


@credit.command("list")
@workspace_option
@click.pass_context
def list_grants(context: click.Context, workspace: str) -> None:
    """List credit grants, newest first."""
    found = pages(SERVICE, "ListCreditGrants", "grants", workspace_id=workspace)
    output(context, [_grant_row(item) for item in found])


def _grant_row(item: Any) -> dict[str, Any]:
    return {
        "grant_id": item.grant_id,
        "workspace_id": item.workspace_id,
        "kind": word(item, "kind"),
        "amount": dollars(item.amount),
        "remaining": dollars(item.remaining),
        "created_at": time_of(item, "created_at"),
        "expires_at": time_of(item, "expires_at"),
    }

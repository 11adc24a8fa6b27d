"""`1api credit buy|auto|card|payments|reconcile`: buying credit, and what the provider has."""

from __future__ import annotations

from typing import Any, Final

import click

from core.cli.session import nanos_of, new_call_id, pages, workspace_option
from kit.cli import output
from kit.cli_calls import call, dollars, plain, time_of, word

SERVICE: Final = "billing.v1.payment_service"
_AMOUNT: Final = "Such as 10.00; tax comes on top."
_REPEAT: Final = "Repeat a call with the same id and nothing is bought twice."


@click.command()
@click.option("--amount", required=True, metavar="USD", help=_AMOUNT)
@click.option("--save-card", is_flag=True, help="Save the card that pays, for automatic top-up.")
@click.option("--with-card", is_flag=True, help="Charge the saved card instead.")
@click.option("--request-id", help=_REPEAT)
@workspace_option
@click.pass_context
def buy(
    context: click.Context,
    /,
    workspace: str,
    amount: str,
    *,
    save_card: bool,
    with_card: bool,
    request_id: str | None,
) -> None:
    """Open a page on which credit is bought, or charge the saved card."""
    wanted: dict[str, Any] = {
        "request_id": request_id or new_call_id(),
        "workspace_id": workspace,
        "amount": _money(amount),
    }
    if with_card:
        answer = call(SERVICE, "ChargeSavedCard", seconds=90.0, **wanted)
    else:
        answer = call(SERVICE, "CreateCheckout", seconds=90.0, saves_card=save_card, **wanted)
    output(context, _payment_row(answer.payment))


@click.command()
@workspace_option
@click.pass_context
def payments(context: click.Context, workspace: str) -> None:
    """List payments, newest first."""
    found = pages(SERVICE, "ListPayments", "payments", workspace_id=workspace)
    columns = ("payment_id", "kind", "state", "amount", "tax", "failure", "created_at", "paid_at")
    output(context, [_payment_row(item) for item in found], table=columns)


@click.command()
@click.option("--below", metavar="USD", help="Buy whenever less than this is left.")
@click.option("--buy", "amount", metavar="USD", help="How much to buy at a time.")
@click.option("--monthly-cap", metavar="USD", help="At most so much in a calendar month (UTC).")
@click.option("--off", is_flag=True, help="Switch it off.")
@workspace_option
@click.pass_context
def auto(
    context: click.Context,
    /,
    workspace: str,
    below: str | None,
    amount: str | None,
    monthly_cap: str | None,
    *,
    off: bool,
) -> None:
    """Show automatic top-up, or switch it on or off."""
    if off or below or amount:
        if not off and not (below and amount):
            raise click.UsageError("Switching it on needs --below and --buy.")
        answer = call(
            SERVICE,
            "SetAutoTopUp",
            workspace_id=workspace,
            enabled=not off,
            threshold=_optional(below),
            amount=_optional(amount),
            monthly_cap=_optional(monthly_cap),
        )
    else:
        answer = call(SERVICE, "GetBillingAccount", workspace_id=workspace)
    output(context, plain(answer.billing_account.auto_top_up))


@click.command()
@click.option("--remove", is_flag=True, help="Forget it, here and at the payment provider.")
@workspace_option
@click.pass_context
def card(context: click.Context, /, workspace: str, *, remove: bool) -> None:
    """Show the saved card, or forget it."""
    method = "RemoveCard" if remove else "GetBillingAccount"
    account = call(SERVICE, method, seconds=90.0, workspace_id=workspace).billing_account
    row = {"has_card": account.has_card, "brand": account.card_brand, "last4": account.card_last4}
    output(context, row)


@click.command()
@click.option("--name", help="The name on receipts.")
@click.option("--email", help="Where warnings go.")
@click.option("--address", help="The address on receipts.")
@click.option("--country", help="Two letters, such as DE.")
@click.option("--tax-id", help="The customer's tax id.")
@click.option("--erase", is_flag=True, help="Erase all of it.")
@workspace_option
@click.pass_context
def profile(context: click.Context, /, workspace: str, *, erase: bool, **given: str | None) -> None:
    """Show whom receipts name, or change what is given."""
    account = call(SERVICE, "GetBillingAccount", workspace_id=workspace).billing_account
    named = {name: value for name, value in given.items() if value is not None}
    if erase or named:
        kept = {} if erase else {name: getattr(account, name) for name in given}
        account = call(
            SERVICE, "UpdateBillingAccount", workspace_id=workspace, **{**kept, **named}
        ).billing_account
    output(context, {name: getattr(account, name) for name in given})


@click.command()
@click.pass_context
def reconcile(context: click.Context) -> None:
    """Compare the ledger with our balance at the payment provider (finance only)."""
    answer = call(SERVICE, "Reconcile", caller="finance", seconds=120.0)
    output(context, plain(answer))


def _payment_row(item: Any) -> dict[str, Any]:
    return {
        "payment_id": item.payment_id,
        "workspace_id": item.workspace_id,
        "kind": word(item, "kind"),
        "state": word(item, "state"),
        "amount": dollars(item.net),
        "tax": dollars(item.tax),
        "checkout_url": item.checkout_url,
        "failure": item.failure,
        "card": f"{item.card_brand} {item.card_last4}".strip(),
        "grant_id": item.grant_id,
        "created_at": time_of(item, "created_at"),
        "paid_at": time_of(item, "paid_at"),
    }


def _money(text: str) -> dict[str, Any]:
    return {"amount_nanos": nanos_of(text), "currency_code": "USD"}


def _optional(text: str | None) -> dict[str, Any] | None:
    return None if text is None else _money(text)

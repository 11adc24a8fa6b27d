"""`1api refund …`: ask for refunds of unused credit, decide about them, list them."""

from __future__ import annotations

from typing import Any, Final

import click

from core.cli.session import nanos_of, new_call_id, pages
from kit.cli import output
from kit.cli_calls import call, plain

SERVICE: Final = "billing.v1.refund_service"
_COLUMNS: Final = ("refund_id", "payment_id", "state", "net", "tax", "asked_by", "created_at")
_STATES: Final = (
    *("requested", "approved", "pending", "succeeded"),
    *("failed", "rejected", "recalling"),
)
_REASONS: Final = ("requested_by_customer", "duplicate", "fraudulent")


@click.group()
def refund() -> None:
    """Ask for refunds of unused credit and decide about them."""


@refund.command()
@click.argument("payment_id")
@click.option("--amount", metavar="USD", help="Credit without tax; default: all that can go back.")
@click.option("--reason", type=click.Choice(_REASONS), default=_REASONS[0], show_default=True)
@click.option("--request-id", help="Repeat a call with the same id and nothing is asked twice.")
@click.pass_context
def ask(
    context: click.Context,
    payment_id: str,
    amount: str | None,
    reason: str,
    request_id: str | None,
) -> None:
    """Ask for unused credit of a payment to go back; nothing moves yet."""
    from oneapi.billing.v1.refund_pb2 import Refund  # noqa: PLC0415

    money = None if amount is None else {"amount_nanos": nanos_of(amount), "currency_code": "USD"}
    answer = call(
        SERVICE,
        "RequestRefund",
        request_id=request_id or new_call_id(),
        payment_id=payment_id,
        amount=money,
        reason=Refund.Reason.Value(f"REASON_{reason.upper()}"),
    )
    output(context, plain(answer.refund))


@refund.command()
@click.argument("refund_id")
@click.pass_context
def approve(context: click.Context, refund_id: str) -> None:
    """Set the credit aside and send the money back."""
    output(context, plain(call(SERVICE, "ApproveRefund", refund_id=refund_id).refund))


@refund.command()
@click.argument("refund_id")
@click.pass_context
def reject(context: click.Context, refund_id: str) -> None:
    """Refuse a refund."""
    output(context, plain(call(SERVICE, "RejectRefund", refund_id=refund_id).refund))


@refund.command()
@click.argument("refund_id")
@click.pass_context
def show(context: click.Context, refund_id: str) -> None:
    """Show one refund."""
    output(context, plain(call(SERVICE, "GetRefund", refund_id=refund_id).refund))


@refund.command("list")
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@click.pass_context
def list_refunds(context: click.Context, workspace: str, state: str | None) -> None:
    """List refunds, newest first."""
    from oneapi.billing.v1.refund_pb2 import Refund  # noqa: PLC0415

    wanted: Any = 0 if state is None else Refund.State.Value(f"STATE_{state.upper()}")
    found = pages(SERVICE, "ListRefunds", "refunds", workspace_id=workspace, state=wanted)
    output(context, [plain(item) for item in found], table=_COLUMNS)

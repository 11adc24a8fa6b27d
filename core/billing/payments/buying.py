"""Writes down what is to be paid, before the provider hears of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.accounts.model import WorkspaceState
from core.accounts.store import get_workspace
from core.audit import Act
from core.billing.accounts import store as accounts
from core.billing.accounts.model import BillingAccount
from core.billing.documents.model import TaxMode
from core.billing.payments import store
from core.billing.payments.model import (
    Payment,
    PaymentKind,
    PaymentState,
    checked_net,
    static_tax,
)
from core.db.database import Transaction
from kit.reasons import InvalidState, RequestIdReused, WorkspaceNotActive


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to buy. `request_id` makes a repetition harmless."""

    workspace_id: bytes
    request_id: str
    kind: PaymentKind
    amount_nanos: int
    saves_card: bool = False


async def begin(
    tx: Transaction, act: Act, wanted: Wanted, tax_mode: TaxMode, rate_ppm: int
) -> Payment:
    """Write a payment down, or return the one that the request made before.

    Raises:
        InvalidArgument, AmountOutOfRange: not an amount that we sell.
        NotFound, WorkspaceNotActive: no such workspace, or a closed one.
        RequestIdReused: the request id was used for something else.
        InvalidState: no card is saved.
    """
    net = checked_net(wanted.amount_nanos)
    workspace = await get_workspace(tx, wanted.workspace_id)
    before = await store.of_request(tx, wanted.workspace_id, wanted.request_id)
    if before is not None:
        return _same(before, wanted, net)
    if workspace.state is WorkspaceState.CLOSED:
        raise WorkspaceNotActive
    account = await accounts.lock(tx, wanted.workspace_id, act.now)
    payment = _payment(act, account, wanted, net, tax_mode, rate_ppm)
    if wanted.kind is not PaymentKind.CHECKOUT and not (payment.customer_id and payment.method_id):
        raise InvalidState(card="missing")
    if not await store.insert(tx, payment):
        # Somebody with the same request id was quicker; the account's lock waited for them.
        before = await store.of_request(tx, wanted.workspace_id, wanted.request_id)
        if before is None:
            raise LookupError(wanted.request_id)
        return _same(before, wanted, net)
    await act.audit(tx, "billing.CreatePayment", payment.name, wanted.workspace_id)
    return payment


async def begin_automatic(
    tx: Transaction, act: Act, workspace_id: bytes, tax_mode: TaxMode, rate_ppm: int
) -> Payment | None:
    """Write an automatic top-up down; None if it is not needed any more, or one is open.

    The account's lock makes the look at the balance and the row one step.
    """
    account = await accounts.lock(tx, workspace_id, act.now)
    if not await store.short_of_credit(tx, act.now, only=workspace_id, limit=1):
        return None
    payment_id = act.ids.new()
    kind, net = PaymentKind.AUTOMATIC, account.auto.amount_minor
    wanted = Wanted(workspace_id, f"auto:{payment_id.hex()}", kind, 0)
    payment = _payment(act, account, wanted, net, tax_mode, rate_ppm)
    payment = replace(payment, payment_id=payment_id)
    if not await store.insert(tx, payment):
        return None
    await act.audit(tx, "billing.CreatePayment", payment.name, workspace_id)
    return payment


def _payment(
    act: Act,
    account: BillingAccount,
    wanted: Wanted,
    net: int,
    tax_mode: TaxMode,
    rate_ppm: int,
) -> Payment:
    is_charge = wanted.kind is not PaymentKind.CHECKOUT
    is_static = tax_mode is TaxMode.STATIC_RATE
    return Payment(
        payment_id=act.ids.new(),
        workspace_id=wanted.workspace_id,
        request_id=wanted.request_id,
        kind=wanted.kind,
        state=PaymentState.CREATED,
        attempt=1,
        net=net,
        tax=static_tax(net, rate_ppm) if is_static else 0,
        tax_mode=tax_mode,
        tax_rate_ppm=rate_ppm if is_static else 0,
        created_at=act.now,
        saves_card=wanted.saves_card,
        customer_id=account.customer_id if is_charge else "",
        method_id=account.method_id if is_charge else "",
    )


def _same(before: Payment, wanted: Wanted, net: int) -> Payment:
    asked = (wanted.kind, net, wanted.saves_card)
    if (before.kind, before.net, before.saves_card) != asked:
        raise RequestIdReused
    return before

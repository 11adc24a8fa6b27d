"""Payments and billing accounts as messages."""

from __future__ import annotations

from core.billing.accounts.model import BillingAccount
from core.billing.events.movements import Comparison
from core.billing.payments.model import Payment, PaymentState
from core.billing.stripe.gateway import BalanceTransaction
from core.ledger.messages import money_message
from core.timestamps import to_timestamp
from kit.ids import format_id
from kit.money import NANOS_PER_CENT
from oneapi.billing.v1 import payment_pb2
from oneapi.billing.v1 import payment_service_pb2 as pb
from oneapi.common.v1.money_pb2 import Money

_WAITS: frozenset[PaymentState] = frozenset({PaymentState.PENDING, PaymentState.NEEDS_ACTION})


def payment_message(payment: Payment) -> payment_pb2.Payment:
    """Render a payment; its page is shown while it waits for somebody there."""
    return payment_pb2.Payment(
        payment_id=payment.name,
        workspace_id=format_id("ws", payment.workspace_id),
        kind=payment_pb2.Payment.Kind.ValueType(payment.kind),
        state=payment_pb2.Payment.State.ValueType(payment.state),
        net=_cents(payment.net),
        tax=_cents(payment.tax),
        checkout_url=payment.session_url if payment.state in _WAITS else "",
        failure=payment.failure,
        card_brand=payment.card_brand,
        card_last4=payment.card_last4,
        grant_id="" if payment.grant_id is None else format_id("grant", payment.grant_id),
        created_at=to_timestamp(payment.created_at),
        paid_at=None if payment.paid_at is None else to_timestamp(payment.paid_at),
    )


def account_message(account: BillingAccount) -> payment_pb2.BillingAccount:
    """Render a billing account: of the card, what may be shown."""
    profile, auto = account.profile, account.auto
    return payment_pb2.BillingAccount(
        workspace_id=format_id("ws", account.workspace_id),
        name=profile.name,
        email=profile.email,
        address=profile.address,
        country=profile.country,
        tax_id=profile.tax_id,
        has_card=bool(account.method_id),
        card_brand=account.card_brand,
        card_last4=account.card_last4,
        auto_top_up=payment_pb2.AutoTopUp(
            state=payment_pb2.AutoTopUp.State.ValueType(auto.state),
            stop_reason=payment_pb2.AutoTopUp.StopReason.ValueType(auto.stop_reason),
            threshold=money_message(auto.threshold_nanos),
            amount=_cents(auto.amount_minor),
            monthly_cap=_cents(auto.monthly_cap_minor),
        ),
    )


def comparison_message(found: Comparison) -> pb.ReconcileResponse:
    """Render a comparison."""
    return pb.ReconcileResponse(
        clearing=money_message(found.clearing),
        balance=money_message(found.balance),
        difference=money_message(found.difference),
        unexplained=map(_movement, found.unexplained),
    )


def _movement(item: BalanceTransaction) -> pb.ReconcileResponse.Unexplained:
    return pb.ReconcileResponse.Unexplained(
        balance_transaction_id=item.id,
        type=item.type,
        source_id=item.source_id,
        net=_cents(item.net),
        created_at=to_timestamp(item.created_at),
    )


def _cents(amount: int) -> Money:
    return money_message(amount * NANOS_PER_CENT)

"""Between refunds and messages, nothing else."""

from __future__ import annotations

from core.billing.payments.model import PREFIX as PAYMENT_PREFIX
from core.billing.refunds.model import PREFIX, Refund, RefundReason, Wanted
from core.billing.shares import MINOR_NANOS
from core.ledger.messages import money_message
from core.timestamps import to_timestamp
from kit.ids import format_id, parse_id
from kit.reasons import InvalidArgument
from oneapi.billing.v1 import refund_pb2
from oneapi.billing.v1 import refund_service_pb2 as service_pb


def refund_message(refund: Refund) -> refund_pb2.Refund:
    """Render a refund."""
    return refund_pb2.Refund(
        refund_id=format_id(PREFIX, refund.refund_id),
        workspace_id=format_id("ws", refund.workspace_id),
        payment_id=format_id(PAYMENT_PREFIX, refund.payment_id),
        origin=refund_pb2.Refund.Origin.ValueType(refund.origin),
        state=refund_pb2.Refund.State.ValueType(refund.state),
        reason=refund_pb2.Refund.Reason.ValueType(refund.reason),
        net=money_message(refund.share.net_nanos),
        tax=money_message(refund.share.tax_nanos),
        stripe_id=refund.stripe_id,
        asked_by=refund.asked_by,
        decided_by=refund.decided_by,
        failure=refund.failure,
        created_at=to_timestamp(refund.created_at),
        updated_at=to_timestamp(refund.updated_at),
        decided_at=to_timestamp(refund.decided_at),
    )


def wanted_of(request: service_pb.RequestRefundRequest) -> Wanted:
    """Read what is asked for.

    Raises:
        InvalidArgument: the amount is not above zero, or not whole cents.
    """
    net: int | None = None
    if request.HasField("amount"):
        net, rest = divmod(request.amount.amount_nanos, MINOR_NANOS)
        if rest or net <= 0:
            raise InvalidArgument(fields="amount")
    return Wanted(
        request_id=request.request_id,
        payment_id=parse_id(PAYMENT_PREFIX, request.payment_id),
        net_minor=net,
        reason=RefundReason(request.reason),
    )

"""PaymentService: parse, call, render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from core.audit import Act
from core.billing.accounts import service as accounts
from core.billing.accounts import store as account_store
from core.billing.accounts.model import AutoState, AutoTopUp, Profile
from core.billing.events.inbox import Inbox
from core.billing.events.movements import Movements
from core.billing.payments import store
from core.billing.payments.buying import Wanted
from core.billing.payments.desk import PaymentDesk
from core.billing.payments.messages import account_message, comparison_message, payment_message
from core.billing.payments.model import PREFIX, PaymentKind, checked_cap, checked_net
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.ledger.store import read_wallet
from kit.clock import Clock
from kit.ids import IdSource, parse_id
from kit.reasons import InvalidArgument, NotFound
from kit.rpc.server import Service
from oneapi.billing.v1 import payment_service_pb2 as pb
from oneapi.billing.v1 import payment_service_pb2_grpc

NAME: Final = "oneapi.billing.v1.PaymentService"
_CALLERS: Final = frozenset({"operator", "finance"})
_EDGE: Final = frozenset({"edge"})
_FINANCE: Final = frozenset({"finance"})
ALLOWED: Final = {
    **dict.fromkeys(
        (
            "GetBillingAccount",
            "UpdateBillingAccount",
            "SetAutoTopUp",
            "RemoveCard",
            "CreateCheckout",
            "ChargeSavedCard",
            "GetPayment",
            "ListPayments",
        ),
        _CALLERS,
    ),
    "ReceiveStripeEvent": _EDGE,
    "NoteCheckoutReturn": _EDGE,
    "Reconcile": _FINANCE,
}


@dataclass(frozen=True, slots=True)
class PaymentParts:
    """What the service is made of."""

    pool: Pool
    clock: Clock
    ids: IdSource
    desk: PaymentDesk
    inbox: Inbox
    movements: Movements


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    """Serves payments."""

    def __init__(self, parts: PaymentParts) -> None:
        """Work with the parts."""
        self._pool = parts.pool
        self._parts = parts

    async def GetBillingAccount(
        self, request: pb.GetBillingAccountRequest, context: Any
    ) -> pb.GetBillingAccountResponse:
        """Read a billing account."""
        workspace_id = parse_id("ws", request.workspace_id)
        async with self._pool.transaction("app", workspace_id) as tx:
            account = await account_store.read(tx, workspace_id)
            if await read_wallet(tx, workspace_id) is None:
                raise NotFound(workspace=request.workspace_id)
        return pb.GetBillingAccountResponse(billing_account=account_message(account))

    async def UpdateBillingAccount(
        self, request: pb.UpdateBillingAccountRequest, context: Any
    ) -> pb.UpdateBillingAccountResponse:
        """Replace whom receipts name."""
        profile = Profile(
            name=request.name,
            email=request.email,
            address=request.address,
            country=request.country,
            tax_id=request.tax_id,
        )
        workspace_id = parse_id("ws", request.workspace_id)
        account = await self._parts.desk.update_profile(self._act(), workspace_id, profile)
        return pb.UpdateBillingAccountResponse(billing_account=account_message(account))

    async def SetAutoTopUp(
        self, request: pb.SetAutoTopUpRequest, context: Any
    ) -> pb.SetAutoTopUpResponse:
        """Switch automatic top-up on or off."""
        workspace_id, auto = parse_id("ws", request.workspace_id), _auto(request)
        async with self._pool.transaction("system") as tx:
            account = await accounts.set_auto(tx, self._act(), workspace_id, auto)
            await tx.commit()
        return pb.SetAutoTopUpResponse(billing_account=account_message(account))

    async def RemoveCard(
        self, request: pb.RemoveCardRequest, context: Any
    ) -> pb.RemoveCardResponse:
        """Forget the saved card."""
        workspace_id = parse_id("ws", request.workspace_id)
        account = await self._parts.desk.remove_card(self._act(), workspace_id)
        return pb.RemoveCardResponse(billing_account=account_message(account))

    async def CreateCheckout(
        self, request: pb.CreateCheckoutRequest, context: Any
    ) -> pb.CreateCheckoutResponse:
        """Open a page on which credit is bought."""
        wanted = Wanted(
            workspace_id=parse_id("ws", request.workspace_id),
            request_id=request.request_id,
            kind=PaymentKind.CHECKOUT,
            amount_nanos=request.amount.amount_nanos,
            saves_card=request.saves_card,
        )
        payment = await self._parts.desk.buy(self._act(), wanted)
        return pb.CreateCheckoutResponse(payment=payment_message(payment))

    async def ChargeSavedCard(
        self, request: pb.ChargeSavedCardRequest, context: Any
    ) -> pb.ChargeSavedCardResponse:
        """Buy credit with the saved card."""
        wanted = Wanted(
            workspace_id=parse_id("ws", request.workspace_id),
            request_id=request.request_id,
            kind=PaymentKind.SAVED_CARD,
            amount_nanos=request.amount.amount_nanos,
        )
        payment = await self._parts.desk.buy(self._act(), wanted)
        return pb.ChargeSavedCardResponse(payment=payment_message(payment))

    async def GetPayment(
        self, request: pb.GetPaymentRequest, context: Any
    ) -> pb.GetPaymentResponse:
        """Read a payment."""
        async with self._pool.transaction("system") as tx:
            payment = await store.get(tx, parse_id(PREFIX, request.payment_id))
        return pb.GetPaymentResponse(payment=payment_message(payment))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, context: Any
    ) -> pb.ListPaymentsResponse:
        """List payments, newest first."""
        workspace_id = parse_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("app", workspace_id) as tx:
            rows = await store.list_payments(tx, workspace_id, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda payment: id_token(payment.payment_id))
        return pb.ListPaymentsResponse(payments=map(payment_message, page), next_page_token=token)

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Any
    ) -> pb.ReceiveStripeEventResponse:
        """Write an event of the provider down."""
        await self._parts.inbox.receive(request.body, request.signature)
        return pb.ReceiveStripeEventResponse()

    async def NoteCheckoutReturn(
        self, request: pb.NoteCheckoutReturnRequest, context: Any
    ) -> pb.NoteCheckoutReturnResponse:
        """Look soon at the payment of a page from which somebody came back."""
        async with self._pool.transaction("system") as tx:
            await store.look_soon(tx, request.session_id)
            await tx.commit()
        return pb.NoteCheckoutReturnResponse()

    async def Reconcile(self, request: pb.ReconcileRequest, context: Any) -> pb.ReconcileResponse:
        """Compare the clearing account with our balance at the provider."""
        return comparison_message(await self._parts.movements.reconcile())

    def _act(self) -> Act:
        return Act.of_call(self._parts.clock, self._parts.ids)


def payment_service(parts: PaymentParts) -> Service:
    """Return the service for the server."""
    add = payment_service_pb2_grpc.add_PaymentServiceServicer_to_server
    return Service(NAME, add, PaymentServicer(parts), ALLOWED)


def _auto(request: pb.SetAutoTopUpRequest) -> AutoTopUp:
    if not request.enabled:
        return AutoTopUp()
    if not (request.HasField("threshold") and request.HasField("amount")):
        raise InvalidArgument(fields="threshold,amount")
    return AutoTopUp(
        state=AutoState.ON,
        threshold_nanos=request.threshold.amount_nanos,
        amount_minor=checked_net(request.amount.amount_nanos),
        monthly_cap_minor=checked_cap(request.monthly_cap.amount_nanos),
    )

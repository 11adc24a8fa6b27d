"""CreditService and LedgerService: parse, call, render."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from core.audit import Act
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.ledger import listing, store
from core.ledger.corrections import CorrectionReason, correct
from core.ledger.credits import GrantRequest, balance, grant_with_balance
from core.ledger.messages import (
    balance_message,
    finding_message,
    grant_message,
    money_message,
    step_message,
    summary_message,
    transaction_message,
)
from core.ledger.model import GrantKind, balance_of
from core.ledger.proofs.finding import RecordProofs, Tally
from core.ledger.proofs.verify import verify
from core.timestamps import from_timestamp
from kit.clock import Clock, now
from kit.ids import IdSource, format_id, parse_id, parse_optional_id
from kit.reasons import CallerNotAllowed, InvalidArgument, NotFound
from kit.rpc.server import Service
from oneapi.billing.v1 import credit_service_pb2 as credit_pb
from oneapi.billing.v1 import credit_service_pb2_grpc, ledger_service_pb2_grpc
from oneapi.billing.v1 import ledger_service_pb2 as ledger_pb

CREDIT_NAME = "oneapi.billing.v1.CreditService"
LEDGER_NAME = "oneapi.billing.v1.LedgerService"
_CALLERS = frozenset({"operator", "finance"})
SUPPORT = "support"
CREDIT_ALLOWED = dict.fromkeys(("GrantCredit", "ListCreditGrants"), _CALLERS | {SUPPORT}) | {
    "CorrectCharge": _CALLERS,
    # Edges ask for the workspace of a key that they have authenticated.
    "GetBalance": _CALLERS | {SUPPORT, "edge"},
}
LEDGER_ALLOWED = dict.fromkeys(
    ("ListTransactions", "GetTransaction", "GetTrialBalance", "VerifyLedger"), _CALLERS
)
_GIVEN = frozenset({int(GrantKind.PROMOTIONAL), int(GrantKind.GOODWILL)})


class CreditServicer(credit_service_pb2_grpc.CreditServiceServicer):
    """Credits of workspaces."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, goodwill_max: int) -> None:
        """Work on the pool's database; support may give a workspace so many nano-dollars."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._goodwill_max = goodwill_max

    async def GetBalance(
        self, request: credit_pb.GetBalanceRequest, context: Any
    ) -> credit_pb.GetBalanceResponse:
        """Read a balance."""
        workspace_id = parse_id("ws", request.workspace_id)
        async with self._pool.transaction("app", workspace_id) as tx:
            found = await balance(tx, workspace_id, now(self._clock))
        return credit_pb.GetBalanceResponse(balance=balance_message(workspace_id, found))

    async def GrantCredit(
        self, request: credit_pb.GrantCreditRequest, context: Any
    ) -> credit_pb.GrantCreditResponse:
        """Give promotional or goodwill credit, once for each request id."""
        act = Act.of_call(self._clock, self._ids)
        wanted = _grant_request(request, act, self._goodwill_max)
        async with self._pool.transaction("system") as tx:
            given = await grant_with_balance(tx, wanted)
            if given.created:
                name = format_id("grant", given.grant.grant_id)
                await act.audit(tx, "billing.GrantCredit", name, wanted.workspace_id)
            await tx.commit()
        return credit_pb.GrantCreditResponse(
            grant=grant_message(given.grant),
            balance=balance_message(wanted.workspace_id, given.balance),
        )

    async def ListCreditGrants(
        self, request: credit_pb.ListCreditGrantsRequest, context: Any
    ) -> credit_pb.ListCreditGrantsResponse:
        """List grants, newest first."""
        workspace_id = parse_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("app", workspace_id) as tx:
            rows = await store.list_grants(tx, workspace_id, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda grant: id_token(grant.grant_id))
        return credit_pb.ListCreditGrantsResponse(
            grants=map(grant_message, page), next_page_token=token
        )

    async def CorrectCharge(
        self, request: credit_pb.CorrectChargeRequest, context: Any
    ) -> credit_pb.CorrectChargeResponse:
        """Give back a part of a charge, once for each request id."""
        act = Act.of_call(self._clock, self._ids)
        async with self._pool.transaction("system") as tx:
            posted = await correct(
                tx,
                request_id=request.request_id,
                record_id=parse_id("req", request.charged_request_id),
                amount=request.amount.amount_nanos,
                reason=CorrectionReason(request.reason),
                actor=act.actor,
                now=act.now,
            )
            wallet = posted.wallet
            if wallet is None:
                raise LookupError(posted.txn_id)
            if posted.created:
                name = request.charged_request_id
                await act.audit(tx, "billing.CorrectCharge", name, wallet.workspace_id)
            await tx.commit()
        return credit_pb.CorrectChargeResponse(
            transaction_id=format_id("txn", posted.txn_id),
            balance=balance_message(wallet.workspace_id, balance_of(wallet)),
        )


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """The ledger, for readers and auditors."""

    def __init__(self, pool: Pool, proof_pool: Pool, records: RecordProofs) -> None:
        """Read through `pool`; proofs, which take long, run through a pool of their own."""
        self._pool = pool
        self._proof_pool = proof_pool
        self._records = records

    async def ListTransactions(
        self, request: ledger_pb.ListTransactionsRequest, context: Any
    ) -> ledger_pb.ListTransactionsResponse:
        """List transactions, newest first."""
        workspace_id = parse_optional_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("system") as tx:
            rows = await listing.list_transactions(tx, workspace_id, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda stored: id_token(stored.txn_id))
        return ledger_pb.ListTransactionsResponse(
            transactions=map(transaction_message, page), next_page_token=token
        )

    async def GetTransaction(
        self, request: ledger_pb.GetTransactionRequest, context: Any
    ) -> ledger_pb.GetTransactionResponse:
        """Read one transaction."""
        async with self._pool.transaction("system") as tx:
            txn_id = parse_id("txn", request.transaction_id)
            stored = await listing.get_transaction(tx, txn_id)
            step = await listing.wallet_step(tx, txn_id)
        if stored is None:
            raise NotFound(transaction=request.transaction_id)
        return ledger_pb.GetTransactionResponse(
            transaction=transaction_message(stored),
            step=None if step is None else step_message(step),
        )

    async def GetTrialBalance(
        self, request: ledger_pb.GetTrialBalanceRequest, context: Any
    ) -> ledger_pb.GetTrialBalanceResponse:
        """Sum every account."""
        async with self._pool.transaction("system") as tx:
            sums = await listing.trial_balance(tx)
        return ledger_pb.GetTrialBalanceResponse(
            sums=[
                ledger_pb.AccountSum(account=account, amount=money_message(total))
                for account, total in sums.items()
            ],
            total=money_message(sum(sums.values())),
        )

    async def VerifyLedger(
        self, request: ledger_pb.VerifyLedgerRequest, context: Any
    ) -> AsyncIterator[ledger_pb.VerifyLedgerResponse]:
        """Replay chains, sums, roots and charges; stream findings, then what was looked at."""
        workspace_id, tally = parse_optional_id("ws", request.workspace_id), Tally()
        async with self._proof_pool.transaction("system", snapshot=True) as tx:
            async for finding in verify(tx, workspace_id, self._records, tally):
                yield ledger_pb.VerifyLedgerResponse(finding=finding_message(finding))
        yield ledger_pb.VerifyLedgerResponse(summary=summary_message(tally))


def credit_service(pool: Pool, clock: Clock, ids: IdSource, goodwill_max: int) -> Service:
    """Return the service for the server."""
    add = credit_service_pb2_grpc.add_CreditServiceServicer_to_server
    return Service(CREDIT_NAME, add, CreditServicer(pool, clock, ids, goodwill_max), CREDIT_ALLOWED)


def ledger_service(pool: Pool, proof_pool: Pool, records: RecordProofs) -> Service:
    """Return the service for the server."""
    add = ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server
    return Service(LEDGER_NAME, add, LedgerServicer(pool, proof_pool, records), LEDGER_ALLOWED)


def _grant_request(
    request: credit_pb.GrantCreditRequest, act: Act, goodwill_max: int
) -> GrantRequest:
    if int(request.kind) not in _GIVEN:
        raise InvalidArgument(fields="kind")
    is_support = act.actor == SUPPORT
    if is_support and request.kind != int(GrantKind.GOODWILL):
        raise CallerNotAllowed(caller=act.actor)
    expires = from_timestamp(request.expires_at) if request.HasField("expires_at") else None
    return GrantRequest(
        workspace_id=parse_id("ws", request.workspace_id),
        kind=GrantKind(request.kind),
        amount=request.amount.amount_nanos,
        expires_at=expires,
        business_key=f"credit:{request.request_id}",
        actor=act.actor,
        now=act.now,
        goodwill_max=goodwill_max if is_support else None,
    )

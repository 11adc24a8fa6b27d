"""Credit grants: promotional, goodwill and paid credit of a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.db.database import Transaction
from core.ledger import store
from core.ledger.entries import grant_entries
from core.ledger.expiry import expire_one
from core.ledger.model import Balance, CreditGrant, GrantKind, Posting, Wallet, balance_of
from core.ledger.posting import new_txn_id, post, replayed
from core.ledger.wallets import balance, lock_wallet
from kit.clock import to_micros
from kit.money import MAX_NANOS
from kit.reasons import AmountOutOfRange, InvalidArgument

__all__ = ["GrantRequest", "balance", "grant_credit", "grant_with_balance"]

KINDS = {
    GrantKind.PAID: "paid_grant",
    GrantKind.PROMOTIONAL: "promo_grant",
    GrantKind.GOODWILL: "goodwill_grant",
}


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """Credit to be given. `business_key` makes a repetition harmless."""

    workspace_id: bytes
    kind: GrantKind
    amount: int
    expires_at: datetime | None
    business_key: str
    actor: str
    now: datetime


async def grant_credit(
    tx: Transaction,
    *,
    workspace_id: bytes,
    kind: GrantKind,
    amount: int,
    expires_at: datetime | None,
    business_key: str,
    actor: str,
    now: datetime,
) -> CreditGrant:
    """Give credit once; a debt of the workspace is paid first. See `grant_with_balance`."""
    request = GrantRequest(workspace_id, kind, amount, expires_at, business_key, actor, now)
    grant, _, _ = await grant_with_balance(tx, request)
    return grant


async def grant_with_balance(
    tx: Transaction, request: GrantRequest
) -> tuple[CreditGrant, Balance, bool]:
    """Give credit once and return the grant, the balance and whether it is new.

    Raises:
        NotFound: the workspace has no wallet.
        InvalidArgument: it would expire at once.
        AmountOutOfRange: not above zero, or beyond the ledger's range.
        RequestIdReused: the business key was used for other credit.
    """
    wallet = await lock_wallet(tx, request.workspace_id)
    wallet = await expire_one(tx, wallet, request.now)
    if await store.find_txn(tx, request.business_key) is not None:
        return await _replay(tx, request, wallet)
    _check(request, wallet)
    grant = _new_grant(request, wallet)
    await store.insert_grant(tx, grant)
    posted = await post(tx, _posting(request, grant, wallet), wallet)
    return grant, balance_of(posted.wallet or wallet), True


async def _replay(
    tx: Transaction, request: GrantRequest, wallet: Wallet
) -> tuple[CreditGrant, Balance, bool]:
    content_hash = _posting(request, _new_grant(request, wallet), wallet).content_hash
    stored = await replayed(tx, request.business_key, content_hash, wallet)
    grant = await store.read_grant(tx, stored.txn_id)
    if grant is None:
        raise LookupError(request.business_key)
    return grant, balance_of(wallet), False


def _check(request: GrantRequest, wallet: Wallet) -> None:
    if not 0 < request.amount <= MAX_NANOS - wallet.posted:
        raise AmountOutOfRange
    if request.expires_at is not None and request.expires_at <= request.now:
        raise InvalidArgument(fields="expires_at")


def _new_grant(request: GrantRequest, wallet: Wallet) -> CreditGrant:
    """Return the grant; its id is that of the transaction which gave it."""
    return CreditGrant(
        grant_id=new_txn_id(request.now, wallet),
        workspace_id=request.workspace_id,
        kind=request.kind,
        amount=request.amount,
        remaining=request.amount - min(request.amount, wallet.receivable),
        created_at=request.now,
        expires_at=request.expires_at,
    )


def _posting(request: GrantRequest, grant: CreditGrant, wallet: Wallet) -> Posting:
    expires = None if request.expires_at is None else to_micros(request.expires_at)
    return Posting(
        txn_id=grant.grant_id,
        workspace_id=request.workspace_id,
        kind=KINDS[request.kind],
        business_key=request.business_key,
        entries=grant_entries(
            request.workspace_id, grant.grant_id, request.kind, request.amount, wallet.receivable
        ),
        effective_at=request.now,
        created_at=request.now,
        actor=request.actor,
        content=(
            ("workspace", request.workspace_id),
            ("kind", int(request.kind)),
            ("amount", request.amount),
            ("expires_at", expires),
        ),
    )

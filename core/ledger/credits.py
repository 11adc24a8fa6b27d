"""Credit grants: promotional, goodwill and paid credit of a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.db.database import Transaction
from core.ledger import store
from core.ledger.current import lock_current
from core.ledger.entries import grant_entries
from core.ledger.model import (
    RECEIVABLE,
    Balance,
    CreditGrant,
    GrantKind,
    Posting,
    Wallet,
    balance_of,
)
from core.ledger.posting import new_txn_id, post, posted_before
from core.ledger.settings import GOODWILL_PERIOD
from core.ledger.store import StoredPosting
from core.ledger.wallets import balance, check_open
from kit.canonical import Canonical
from kit.clock import to_micros
from kit.money import MAX_NANOS
from kit.reasons import AmountOutOfRange, InvalidArgument, RateLimited

__all__ = ["GrantRequest", "Granted", "balance", "grant_credit", "grant_with_balance"]

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
    tax: int = 0
    """What was paid on top for the tax office; bought credit only."""
    goodwill_max: int | None = None
    """What the actor may give this workspace as goodwill in 30 days; None is without a limit."""

    @property
    def content(self) -> tuple[tuple[str, Canonical], ...]:
        """Return what a repetition must say again."""
        expires = None if self.expires_at is None else to_micros(self.expires_at)
        words: tuple[tuple[str, Canonical], ...] = (
            ("workspace", self.workspace_id),
            ("kind", int(self.kind)),
            ("amount", self.amount),
            ("expires_at", expires),
        )
        # Only where there is one: grants from before there was tax may be repeated.
        return (*words, ("tax", self.tax)) if self.tax else words


@dataclass(frozen=True, slots=True)
class Granted:
    """Credit that was given: the grant, the balance after it, and what of it paid a debt at once.

    `created` is False if it was given before; then `balance` is that of now.
    """

    grant: CreditGrant
    balance: Balance
    created: bool
    repaid: int


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
    return (await grant_with_balance(tx, request)).grant


async def grant_with_balance(tx: Transaction, request: GrantRequest) -> Granted:
    """Give credit once; a debt of the workspace is paid first.

    A closed workspace is given nothing, but bought credit is booked: the money is there.

    Raises:
        NotFound: the workspace has no wallet.
        WorkspaceNotActive: it is closed.
        InvalidArgument: it would expire at once, or tax on credit that is not bought.
        AmountOutOfRange: not above zero, or beyond the ledger's range.
        RateLimited: more goodwill than the actor may give.
        RequestIdReused: the business key was used for other credit.
    """
    wallet = await lock_current(tx, request.workspace_id, request.now)
    before = await posted_before(tx, request.business_key, request.content)
    if before is not None:
        return await _replay(tx, before, wallet)
    _check(request, wallet)
    if request.kind is not GrantKind.PAID:
        await check_open(tx, request.workspace_id)
        await _check_goodwill(tx, request)
    grant = _new_grant(request, wallet)
    await store.insert_grant(tx, grant)
    posted = await post(tx, _posting(request, grant, wallet), wallet)
    balance_after = balance_of(posted.wallet or wallet)
    return Granted(grant, balance_after, created=True, repaid=grant.amount - grant.remaining)


async def _replay(tx: Transaction, before: StoredPosting, wallet: Wallet) -> Granted:
    grant = await store.read_grant(tx, before.txn_id)
    if grant is None:
        raise LookupError(before.txn_id)
    return Granted(grant, balance_of(wallet), created=False, repaid=before.sum_of(RECEIVABLE))


def _check(request: GrantRequest, wallet: Wallet) -> None:
    if not 0 < request.amount <= MAX_NANOS - max(wallet.posted, request.tax):
        raise AmountOutOfRange
    if request.tax < 0:
        raise AmountOutOfRange
    if request.tax and request.kind is not GrantKind.PAID:
        raise InvalidArgument(fields="tax")
    if request.expires_at is not None and request.expires_at <= request.now:
        raise InvalidArgument(fields="expires_at")


async def _check_goodwill(tx: Transaction, request: GrantRequest) -> None:
    if request.goodwill_max is None:
        return
    since = request.now - GOODWILL_PERIOD
    given = await store.goodwill_given(tx, request.workspace_id, request.actor, since)
    left = request.goodwill_max - given
    if request.amount > left:
        raise RateLimited(limit="goodwill", left_nanos=max(0, left))


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
    entries = grant_entries(
        request.workspace_id,
        grant.grant_id,
        request.kind,
        request.amount,
        wallet.receivable,
        request.tax,
    )
    return Posting(
        txn_id=grant.grant_id,
        workspace_id=request.workspace_id,
        kind=KINDS[request.kind],
        business_key=request.business_key,
        entries=entries,
        effective_at=request.now,
        created_at=request.now,
        actor=request.actor,
        content=request.content,
    )

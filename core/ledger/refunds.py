"""Bought credit that goes back to who paid for it: reserved, then sent, or given back.

    reserve  -> paid to refund_pending, before the provider is asked
    release  -> back, where the refund did not happen
    sent     -> refund_pending to the provider's account with us
    returned -> back, where a refund failed after it was sent
    clawback -> a refund that was made at the provider: taken, the rest becomes debt

All are posted once for each business key, under the wallet's lock, and name the grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.ledger import lease_store, lineage_store, store
from core.ledger.burn import Part
from core.ledger.current import bring_up_to_date, lock_current
from core.ledger.debt import relief
from core.ledger.entries import of_parts, without_zeros
from core.ledger.model import (
    PAID,
    RECEIVABLE,
    REFUND_PENDING,
    STRIPE_CLEARING,
    TAX_PAYABLE,
    CreditGrant,
    Entry,
    GrantKind,
    Wallet,
)
from core.ledger.posting import Posted, movement, post, posted_before
from core.ledger.wallets import lock_wallet
from kit.canonical import Canonical
from kit.ids import format_id
from kit.reasons import AmountOutOfRange, CreditInUse, InsufficientCredits, InvalidState, NotFound

RESERVED: Final = "refund_reserve"
RELEASED: Final = "refund_release"
SENT: Final = "refund_sent"
RETURNED: Final = "refund_returned"
CLAWBACK: Final = "refund_clawback"
CLAWBACK_RETURNED: Final = "refund_clawback_returned"


@dataclass(frozen=True, slots=True)
class _Refund:
    """So much of a grant, with the tax that was paid for it; nano-dollars."""

    workspace_id: bytes
    grant_id: bytes
    net: int
    tax: int

    @property
    def gross(self) -> int:
        return self.net + self.tax

    @property
    def content(self) -> tuple[tuple[str, Canonical], ...]:
        return (
            ("workspace", self.workspace_id),
            ("grant", self.grant_id),
            ("net", self.net),
            ("tax", self.tax),
        )

    def free(self, amount: int) -> Entry:
        """Return an entry of the grant's free credit."""
        return Entry(PAID, amount, self.workspace_id, self.grant_id)

    def pending(self, amount: int) -> Entry:
        """Return an entry of what is about to be refunded."""
        return Entry(REFUND_PENDING, amount, self.workspace_id, self.grant_id)


async def reserve(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    refund_id: bytes,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> Posted:
    """Set free credit of a grant aside for a refund.

    On refusal the recall of leases is committed before the error is raised: it must survive it, so
    nothing of the caller's may have been written by then.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        AmountOutOfRange: nothing to refund, or below zero.
        InsufficientCredits: the grant has less free than that, its leased parts included.
        CreditInUse: leases hold it; their free parts have been asked back.
        RequestIdReused: the refund was reserved with other amounts.
    """
    key, refund = f"refund:{refund_id.hex()}", _Refund(workspace_id, grant_id, net, tax)
    wallet = await lock_current(tx, workspace_id, now)
    before = await posted_before(tx, key, refund.content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    grant = await bought_grant(tx, wallet, grant_id)
    check_amounts(net, tax)
    if grant.remaining < net:
        await _refuse(tx, wallet, grant, net, now)
    await store.move_remaining(tx, [(grant_id, -net)])
    entries = without_zeros(
        refund.free(-net), Entry(TAX_PAYABLE, -tax), refund.pending(refund.gross)
    )
    return await _post(tx, wallet, (RESERVED, key), entries, refund, actor, now)


async def release(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    refund_id: bytes,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> Posted:
    """Give credit that was set aside for a refund back to its grant.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        InvalidState: it is not set aside: never reserved, or sent already.
        RequestIdReused: it was released with other amounts.
    """
    key, refund = f"refund:{refund_id.hex()}:release", _Refund(workspace_id, grant_id, net, tax)
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, refund.content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    await _check_pending(tx, wallet, refund)
    await store.move_remaining(tx, [(grant_id, net)])
    entries = without_zeros(
        refund.pending(-refund.gross), refund.free(net), Entry(TAX_PAYABLE, tax)
    )
    posted = await _post(tx, wallet, (RELEASED, key), entries, refund, actor, now)
    return await _current(tx, posted, now)


async def sent(  # noqa: PLR0913 - what a refund is, and its two names
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    refund_id: bytes,
    stripe_id: str,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> Posted:
    """Note that a reserved refund has left the house's account at the provider.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        InvalidState: it is not set aside: never reserved, released, or sent already.
        RequestIdReused: it was sent with other amounts.
    """
    key, refund = f"stripe:{stripe_id}:sent", _Refund(workspace_id, grant_id, net, tax)
    content = (*refund.content, ("refund", refund_id))
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    await _check_pending(tx, wallet, refund)
    entries = (refund.pending(-refund.gross), Entry(STRIPE_CLEARING, refund.gross))
    posting = movement(wallet, SENT, key, entries, actor=actor, now=now, content=content)
    return await post(tx, posting, wallet)


async def returned(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> Posted:
    """Give the credit of a refund back that failed after it was sent: the money came back to us.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        InvalidState: that refund was never sent.
        RequestIdReused: it came back with other amounts.
    """
    key, refund = f"stripe:{stripe_id}:returned", _Refund(workspace_id, grant_id, net, tax)
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, refund.content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    away = await store.read_posting(tx, f"stripe:{stripe_id}:sent")
    expected = without_zeros(refund.pending(-refund.gross), Entry(STRIPE_CLEARING, refund.gross))
    if away is None or away.entries != expected:
        raise InvalidState(refund=stripe_id)
    await store.move_remaining(tx, [(grant_id, net)])
    entries = without_zeros(
        Entry(STRIPE_CLEARING, -refund.gross), refund.free(net), Entry(TAX_PAYABLE, tax)
    )
    posted = await _post(tx, wallet, (RETURNED, key), entries, refund, actor, now)
    return await _current(tx, posted, now)


async def clawback(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> int:
    """Take back credit whose refund was made at the provider; return what is owed for the rest.

    What is free of the grant is taken; leases are asked back where that is too little.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        AmountOutOfRange: nothing to take back, below zero, or a debt beyond the ledger's range.
        RequestIdReused: it was taken back with other amounts.
    """
    key, refund = f"stripe:{stripe_id}:clawback", _Refund(workspace_id, grant_id, net, tax)
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, refund.content)
    if before is not None:
        return -before.sum_of(RECEIVABLE)
    wallet = await bring_up_to_date(tx, wallet, now)
    grant = await bought_grant(tx, wallet, grant_id)
    check_amounts(net, tax)
    taken = min(grant.remaining, net)
    await store.move_remaining(tx, [(grant_id, -taken)])
    entries = without_zeros(
        Entry(STRIPE_CLEARING, refund.gross),
        Entry(TAX_PAYABLE, -tax),
        refund.free(-taken),
        Entry(RECEIVABLE, taken - net, workspace_id),
    )
    await _post(tx, wallet, (CLAWBACK, key), entries, refund, actor, now)
    if taken < net:
        await lease_store.recall(tx, workspace_id, None, now)
    return net - taken


async def clawback_returned(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    actor: str,
    now: datetime,
) -> Posted:
    """Undo a clawback whose refund failed later: exactly what was taken, as it was recorded.

    Raises:
        NotFound: no such wallet.
        InvalidState: there was no such clawback of that grant.
    """
    key = f"stripe:{stripe_id}:clawback_returned"
    content = (("workspace", workspace_id), ("grant", grant_id))
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    took = await store.read_posting(tx, f"stripe:{stripe_id}:clawback")
    if took is None or {workspace_id} != {e.workspace_id for e in took.entries} - {None}:
        raise InvalidState(refund=stripe_id)
    if {entry.grant_id for entry in took.entries} - {None, grant_id}:
        raise InvalidState(refund=stripe_id)
    back, owed = -took.sum_of(PAID), -took.sum_of(RECEIVABLE)
    relieved, repaid = await relief(tx, wallet, owed)
    parts = [Part(grant_id, PAID, back)] if back else []
    await store.move_remaining(tx, [(part.grant_id, part.amount) for part in parts])
    await store.move_remaining(tx, [(part.grant_id, part.amount) for part in repaid])
    entries = (
        *without_zeros(
            Entry(STRIPE_CLEARING, -took.sum_of(STRIPE_CLEARING)),
            Entry(TAX_PAYABLE, -took.sum_of(TAX_PAYABLE)),
        ),
        *of_parts(workspace_id, parts, 1),
        *relieved,
    )
    posting = movement(
        wallet, CLAWBACK_RETURNED, key, entries, actor=actor, now=now, content=content
    )
    return await _current(tx, await post(tx, posting, wallet), now)


async def bought_grant(tx: Transaction, wallet: Wallet, grant_id: bytes) -> CreditGrant:
    """Read a bought grant of a locked wallet.

    Raises:
        NotFound: it has no such grant, or it was not bought.
    """
    grant = await store.read_grant(tx, grant_id)
    mine = grant is not None and grant.workspace_id == wallet.workspace_id
    if grant is None or not mine or grant.kind is not GrantKind.PAID:
        raise NotFound(grant=format_id("grant", grant_id))
    return grant


def check_amounts(net: int, tax: int) -> None:
    """Refuse to take back nothing, or less than nothing.

    Raises:
        AmountOutOfRange
    """
    if min(net, tax) < 0 or net + tax == 0:
        raise AmountOutOfRange


async def _refuse(
    tx: Transaction, wallet: Wallet, grant: CreditGrant, needed: int, now: datetime
) -> None:
    leased = await lease_store.open_of_grant(tx, grant.grant_id)
    numbers = {
        "needed_nanos": needed,
        "available_nanos": grant.remaining,
        "held_nanos": leased,
    }
    if grant.remaining + leased < needed:
        raise InsufficientCredits(**numbers)
    await lease_store.recall(tx, wallet.workspace_id, None, now)
    await tx.commit()
    raise CreditInUse(**numbers)


async def _check_pending(tx: Transaction, wallet: Wallet, refund: _Refund) -> None:
    await bought_grant(tx, wallet, refund.grant_id)
    check_amounts(refund.net, refund.tax)
    pending = await lineage_store.account_of_grant(tx, REFUND_PENDING, refund.grant_id)
    if pending < refund.gross:
        raise InvalidState(pending_nanos=pending)


async def _post(
    tx: Transaction,
    wallet: Wallet,
    name: tuple[str, str],
    entries: tuple[Entry, ...],
    refund: _Refund,
    actor: str,
    now: datetime,
) -> Posted:
    kind, key = name
    posting = movement(wallet, kind, key, entries, actor=actor, now=now, content=refund.content)
    return await post(tx, posting, wallet)


async def _current(tx: Transaction, posted: Posted, now: datetime) -> Posted:
    """Let what came back expire, if its time is over, and pay a debt."""
    if posted.wallet is None:
        return posted
    wallet = await bring_up_to_date(tx, posted.wallet, now)
    return Posted(posted.txn_id, posted.created, wallet)

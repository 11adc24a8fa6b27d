"""A charge that is given back, whole or in part: a new transaction, never a change of the record.

What the settlement took is unwound as it was recorded, in reverse: the debt first, then the grants,
the last burnt first. A settlement charges many records at once, so each correction takes what the
ones before it have left of the settlement's sources. Spend limits go on counting what was charged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from core.db.database import Transaction
from core.ledger import correction_store, store
from core.ledger.burn import Part, total
from core.ledger.correction_store import Charged, Correction
from core.ledger.current import bring_up_to_date
from core.ledger.debt import relief
from core.ledger.entries import of_parts
from core.ledger.model import (
    CREDIT_ACCOUNTS,
    HELD,
    RECEIVABLE,
    REV_CORRECTIONS,
    Entry,
    Wallet,
)
from core.ledger.posting import Posted, movement, post
from core.ledger.wallets import lock_wallet
from kit.ids import format_id
from kit.reasons import AmountOutOfRange, InvalidState, NotFound, RequestIdReused

KIND: Final = "correction"


class RecordArchived(InvalidState):
    """The record's month is in the archive: its charge is final; goodwill credit can be given."""


class CorrectionReason(IntEnum):
    """Why a charge is given back; the numbers are those of the proto."""

    WRONG_CHARGE = 1
    SERVICE_FAULT = 2
    AGREED = 3


@dataclass(frozen=True, slots=True)
class Sources:
    """What a settlement was paid from and is not given back yet: debt, then grants in reverse."""

    owed: int
    parts: tuple[tuple[bytes, int], ...]

    def taken(self, amount: int) -> tuple[int, list[tuple[bytes, int]]]:
        """Return which debt and how much of which grants make up an amount.

        Raises:
            ValueError: the sources are less than that.
        """
        owed = min(self.owed, amount)
        left, parts = amount - owed, []
        for grant_id, part in self.parts:
            share = min(part, left)
            if share > 0:
                parts.append((grant_id, share))
                left -= share
        if left:
            raise ValueError("a settlement's sources do not cover its charges")
        return owed, parts


def sources_of(settled: Iterable[Entry], corrected: Iterable[Entry]) -> Sources:
    """Return what is left of a settlement's sources after the corrections of its records."""
    owed = 0
    parts: Counter[bytes] = Counter()
    for entry in reversed(list(settled)):
        if entry.account == RECEIVABLE:
            owed -= entry.amount
        elif entry.grant_id is not None and entry.account in CREDIT_ACCOUNTS | {HELD}:
            parts[entry.grant_id] -= entry.amount
    for entry in corrected:
        # A debt's repayment that was undone (relief) is named; it is no source of the settlement.
        if entry.account == RECEIVABLE and entry.grant_id is None:
            owed -= max(entry.amount, 0)
        elif entry.grant_id is not None:
            parts[entry.grant_id] -= entry.amount
    return Sources(owed, tuple(parts.items()))


async def _charge_of(tx: Transaction, record_id: bytes, request_id: str) -> Charged:
    """Return what a record was charged; of one that left since, if the same call was answered."""
    charged = await correction_store.read_charge(tx, record_id)
    if charged is None:
        charged = await correction_store.read_corrected(tx, request_id)
    if charged is not None:
        return charged
    name = format_id("req", record_id)
    if await correction_store.is_archived(tx, record_id):
        raise RecordArchived(record=name)
    raise NotFound(record=name)


async def correct(
    tx: Transaction,
    *,
    request_id: str,
    record_id: bytes,
    amount: int,
    reason: CorrectionReason,
    actor: str,
    now: datetime,
) -> Posted:
    """Give back so much of what a usage record charged, once for each request id.

    What has expired since expires again, and a debt is paid first.

    Raises:
        NotFound: no such record was ever charged.
        RecordArchived: its month is in the archive.
        AmountOutOfRange: not above zero, or more than was charged and not given back.
        InvalidState: its settlement does not name the grants that paid.
        RequestIdReused: the request id was used for another correction.
    """
    charged = await _charge_of(tx, record_id, request_id)
    wallet = await lock_wallet(tx, charged.workspace_id)
    known = await correction_store.find(tx, request_id)
    if known is not None:
        if (known.record_id, known.amount, known.reason) != (record_id, amount, reason):
            raise RequestIdReused(transaction=known.txn_id.hex())
        return Posted(known.txn_id, created=False, wallet=wallet)
    left = charged.amount - await correction_store.corrected(tx, record_id)
    if not 0 < amount <= left:
        raise AmountOutOfRange(correctable_nanos=left)
    settled, corrected = await correction_store.entries_of_settlement(tx, charged.settlement_id)
    if any(entry.account == HELD and entry.grant_id is None for entry in settled):
        raise InvalidState(transaction=format_id("txn", charged.settlement_id))
    owed, shares = sources_of(settled, corrected).taken(amount)
    posted = await _post(tx, wallet, (record_id, request_id), (amount, owed), shares, actor, now)
    made = Correction(
        posted.txn_id, request_id, record_id, charged.settlement_id, amount, int(reason)
    )
    if not await correction_store.insert(tx, made, charged.workspace_id):
        raise RequestIdReused
    after = await bring_up_to_date(tx, posted.wallet or wallet, now)
    return Posted(posted.txn_id, created=True, wallet=after)


async def _post(
    tx: Transaction,
    wallet: Wallet,
    name: tuple[bytes, str],
    amounts: tuple[int, int],
    shares: Iterable[tuple[bytes, int]],
    actor: str,
    now: datetime,
) -> Posted:
    (record_id, request_id), (amount, owed) = name, amounts
    relieved, repaid = await relief(tx, wallet, owed)
    parts = await _parts(tx, shares)
    for moved in (repaid, parts):
        await store.move_remaining(tx, [(part.grant_id, part.amount) for part in moved])
    if owed + total(parts) != amount:
        raise ValueError("a correction gives back what it says")
    entries = (
        Entry(REV_CORRECTIONS, -amount),
        *relieved,
        *of_parts(wallet.workspace_id, parts, 1),
    )
    key = f"correction:{record_id.hex()}:{request_id}"
    return await post(tx, movement(wallet, KIND, key, entries, actor=actor, now=now), wallet)


async def _parts(tx: Transaction, shares: Iterable[tuple[bytes, int]]) -> list[Part]:
    parts = []
    for grant_id, share in shares:
        grant = await store.read_grant(tx, grant_id)
        if grant is None:
            raise LookupError(grant_id)
        parts.append(Part(grant_id, grant.kind.account, share))
    return parts

"""Settlement: charges of usage records leave the leases, then free credit, then become debt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, NamedTuple

from core.db.database import Transaction
from core.ledger import lease_store, store
from core.ledger.burn import Part, burn, total, use
from core.ledger.entries import settlement_entries, waiver_entries
from core.ledger.model import LATE_WAIVER, Lease, Posting, Wallet
from core.ledger.posting import Posted, new_txn_id, post

ACTOR: Final = "core.metering"
SETTLEMENT: Final = "settle"


class Charge(NamedTuple):
    """What one usage record costs, and which edge process took the request on when."""

    edge_id: int
    epoch: int
    started_at: datetime
    amount: int


@dataclass(frozen=True, slots=True)
class RecordsProof:
    """Which usage records a settlement covers: the Merkle root over their canonical leaves."""

    month: date
    root: bytes
    count: int


async def settle(
    tx: Transaction,
    wallet: Wallet,
    charges: Sequence[Charge],
    *,
    txn_id: bytes,
    proof: RecordsProof,
    unbillable: int,
    now: datetime,
) -> Posted:
    """Post the charges of new usage records of one wallet and usage month, in nano-dollars.

    Each charge is taken from the open lease of its edge process, in burn order of its slices; what
    is beyond it, or comes after the lease was closed, from free credit; the rest is owed. The
    wallet must be locked by this transaction.
    """
    leases = await lease_store.open_of_workspace(tx, wallet.workspace_id)
    shares, rest = shares_of(leases, charges)
    leased = await _use_leases(tx, leases, shares)
    parts = await _use_credit(tx, wallet, rest, now)
    entries = settlement_entries(
        wallet.workspace_id,
        leased=leased,
        parts=parts,
        owed=rest - total(parts),
        unbillable=unbillable,
    )
    posting = Posting(
        txn_id=txn_id,
        workspace_id=wallet.workspace_id,
        kind=SETTLEMENT,
        business_key=f"settle:{wallet.workspace_id.hex()}:{proof.month:%Y-%m}:{proof.root.hex()}",
        entries=entries,
        effective_at=max((charge.started_at for charge in charges), default=now),
        created_at=now,
        actor=ACTOR,
        usage_month=proof.month,
        records_root=proof.root,
        record_count=proof.count,
    )
    return await post(tx, posting, wallet)


async def waive_late(
    tx: Transaction,
    workspace_id: bytes,
    *,
    txn_id: bytes,
    proof: RecordsProof,
    amount: int,
    now: datetime,
) -> Posted:
    """Post usage that came after its month was archived: our expense, no wallet touched."""
    posting = Posting(
        txn_id=txn_id,
        workspace_id=workspace_id,
        kind=LATE_WAIVER,
        business_key=f"waive:{workspace_id.hex()}:{proof.month:%Y-%m}:{proof.root.hex()}",
        entries=waiver_entries(amount),
        effective_at=now,
        created_at=now,
        actor=ACTOR,
        usage_month=proof.month,
        records_root=proof.root,
        record_count=proof.count,
    )
    return await post(tx, posting, None)


def shares_of(leases: Iterable[Lease], charges: Iterable[Charge]) -> tuple[dict[bytes, int], int]:
    """Return what each lease pays of the charges, never more than it holds, and the rest."""
    by_process = {(lease.edge_id, lease.epoch): lease for lease in leases}
    wanted: dict[bytes, int] = defaultdict(int)
    rest = 0
    for charge in charges:
        lease = by_process.get((charge.edge_id, charge.epoch))
        if lease is not None and lease.pays_for(charge.edge_id, charge.epoch, charge.started_at):
            wanted[lease.lease_id] += charge.amount
        else:
            rest += charge.amount
    held = {lease.lease_id: lease.held for lease in by_process.values()}
    shares = {lease_id: min(amount, held[lease_id]) for lease_id, amount in wanted.items()}
    return shares, rest + sum(wanted.values()) - sum(shares.values())


def new_settlement_id(now: datetime, wallet: Wallet | None) -> bytes:
    """Return the id that the records of a settlement carry, before it is posted."""
    return new_txn_id(now, wallet)


async def _use_leases(
    tx: Transaction, leases: Iterable[Lease], shares: dict[bytes, int]
) -> list[Part]:
    """Take what leases pay from their slices; return how much of each grant, in burn order."""
    paying = [lease for lease in leases if shares.get(lease.lease_id, 0) > 0]
    if not paying:
        return []
    pieces = await lease_store.slices(tx, [lease.lease_id for lease in paying])
    used = {piece.grant_id: Part(piece.grant_id, piece.account, 0) for _, piece in pieces}
    for lease in paying:
        amount = shares[lease.lease_id]
        mine = [piece for lease_id, piece in pieces if lease_id == lease.lease_id]
        changed, parts = use(mine, amount)
        for part in parts:
            before = used[part.grant_id]
            used[part.grant_id] = replace(before, amount=before.amount + part.amount)
        await lease_store.update_slices(tx, lease.lease_id, changed)
        await lease_store.update(tx, replace(lease, settled_total=lease.settled_total + amount))
    return [part for part in used.values() if part.amount > 0]


async def _use_credit(tx: Transaction, wallet: Wallet, amount: int, now: datetime) -> list[Part]:
    if amount == 0:
        return []
    parts = burn(await store.burnable_grants(tx, wallet.workspace_id, now), amount)
    await store.move_remaining(tx, [(part.grant_id, -part.amount) for part in parts])
    return parts

"""The ledger's values and pure rules: entries, wallets, grants, leases. Amounts are nano-dollars.

Credits are positive, debits negative; the entries of a transaction sum to zero. README.md has the
chart of accounts and the invariants in prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Final

from kit.canonical import CHAIN_START, Canonical, content_hash, wallet_log_hash
from kit.clock import to_micros

PROMO: Final = "promo"
PAID: Final = "paid"
HELD: Final = "held"
FROZEN: Final = "frozen"
RECEIVABLE: Final = "receivable"
REFUND_PENDING: Final = "refund_pending"
TAX_PAYABLE: Final = "tax_payable"
REV_USAGE: Final = "rev.usage"
REV_WAIVED: Final = "rev.waived"
REV_BREAKAGE: Final = "rev.breakage"
REV_CORRECTIONS: Final = "rev.corrections"
EXP_PROMO: Final = "exp.promo"
EXP_UNBILLABLE: Final = "exp.unbillable"
EXP_BAD_DEBT: Final = "exp.bad_debt"
EXP_PSP_FEES: Final = "exp.psp_fees"
STRIPE_CLEARING: Final = "psp.stripe_clearing"
STRIPE_DISPUTED: Final = "psp.stripe_disputed"
PSP_BANK: Final = "psp.bank"
PSP_SURPLUS: Final = "psp.surplus"

CREDIT_ACCOUNTS: Final = frozenset({PROMO, PAID})
"""Free credit of a workspace; each entry names its grant."""
WALLET_ACCOUNTS: Final = CREDIT_ACCOUNTS | {HELD, FROZEN}
"""The accounts whose sum is a wallet's `posted`."""
WORKSPACE_ACCOUNTS: Final = WALLET_ACCOUNTS | {RECEIVABLE, REFUND_PENDING}
"""The accounts that each workspace has; all others are the house's."""

LATE_WAIVER: Final = "late_waiver"
HOUSE_KINDS: Final = frozenset(
    {"psp_fee", "psp_payout", "psp_withdrawal", "psp_reinstatement", "psp_adjustment"}
)
"""What happens between the payment provider and the house; no workspace is touched."""
OUTSIDE_KINDS: Final = HOUSE_KINDS | {LATE_WAIVER}
"""The kinds of transactions that stand outside of every wallet's chain."""

LEASE_GRACE_SECONDS: Final = 60
"""A silent lease is freed this long after the last request on it must have ended."""
LEASE_START_MARGIN: Final = timedelta(seconds=10)
"""A request may be accepted this long before the lease that pays for it was opened."""


class GrantKind(IntEnum):
    """Where credit comes from; the numbers are those of the proto."""

    PAID = 1
    PROMOTIONAL = 2
    GOODWILL = 3

    @property
    def account(self) -> str:
        """Return the account that holds such credit while it is free."""
        return PAID if self is GrantKind.PAID else PROMO

    @property
    def priority(self) -> int:
        """Return the place in the burn order: given credit is used before bought credit."""
        return 20 if self is GrantKind.PAID else 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a movement. House accounts have no workspace.

    Credit names its grant wherever it is: free, leased, frozen, or about to be refunded. A debt
    names one where that grant has paid it.
    """

    account: str
    amount: int
    workspace_id: bytes | None = None
    grant_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Posting:
    """A transaction to be written: what, why (the unique business key), when and by whom."""

    txn_id: bytes
    kind: str
    business_key: str
    entries: tuple[Entry, ...]
    effective_at: datetime
    created_at: datetime
    actor: str
    workspace_id: bytes | None = None
    content: tuple[tuple[str, Canonical], ...] = ()
    usage_month: date | None = None
    records_root: bytes | None = None
    record_count: int | None = None

    @property
    def total(self) -> int:
        """Return the sum of the entries, which must be 0."""
        return sum(entry.amount for entry in self.entries)

    @property
    def content_hash(self) -> bytes:
        """Return what a repetition of the business key is compared with.

        The caller's own words where it gave some (a repeated call mints new ids), else everything.
        """
        return content_hash(dict(self.content) if self.content else self.payload())

    def payload(self) -> dict[str, Canonical]:
        """Return all that a proof covers, in canonical types."""
        return {
            "txn": self.txn_id,
            "workspace": self.workspace_id,
            "kind": self.kind,
            "business_key": self.business_key,
            "effective_at": to_micros(self.effective_at),
            "created_at": to_micros(self.created_at),
            "actor": self.actor,
            "usage_month": self.usage_month.isoformat() if self.usage_month else None,
            "records_root": self.records_root,
            "record_count": self.record_count,
            "entries": [
                [position, entry.account, entry.workspace_id, entry.grant_id, entry.amount]
                for position, entry in enumerate(self.entries)
            ],
        }


@dataclass(frozen=True, slots=True)
class Wallet:
    """The one cached balance of a workspace and the head of its chain.

    total `posted` = available + held + frozen; debt is `receivable`, never a negative balance.
    """

    workspace_id: bytes
    posted: int = 0
    held: int = 0
    frozen: int = 0
    receivable: int = 0
    sequence: int = 0
    head_hash: bytes = CHAIN_START

    @property
    def available(self) -> int:
        """Return the credit that is neither leased nor frozen."""
        return self.posted - self.held - self.frozen

    @property
    def balances(self) -> tuple[int, int, int, int]:
        """Return posted, held, frozen and receivable."""
        return (self.posted, self.held, self.frozen, self.receivable)

    def with_entries(self, entries: Sequence[Entry]) -> Wallet:
        """Return the balances after these entries; those of other wallets do not count."""
        mine = [entry for entry in entries if entry.workspace_id == self.workspace_id]
        return replace(
            self,
            posted=self.posted + _sum_of(mine, WALLET_ACCOUNTS),
            held=self.held + _sum_of(mine, {HELD}),
            frozen=self.frozen + _sum_of(mine, {FROZEN}),
            receivable=self.receivable - _sum_of(mine, {RECEIVABLE}),
        )

    def after(self, posting: Posting, posting_hash: bytes) -> Wallet:
        """Return the wallet after a transaction, with its new place in the chain."""
        moved = replace(self.with_entries(posting.entries), sequence=self.sequence + 1)
        return replace(moved, head_hash=chain_hash(self.head_hash, posting, posting_hash, moved))


@dataclass(frozen=True, slots=True)
class Balance:
    """What a workspace sees: total = held + available + frozen, and what it owes."""

    total: int
    held: int
    available: int
    frozen: int
    debt: int


@dataclass(frozen=True, slots=True)
class CreditGrant:
    """Prepaid credit from one source; `remaining` is what is free of it, outside of leases."""

    grant_id: bytes
    workspace_id: bytes
    kind: GrantKind
    amount: int
    remaining: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Slice:
    """What one grant gave to one lease: open = amount - used - returned."""

    grant_id: bytes
    account: str
    amount: int
    used: int = 0
    returned: int = 0

    @property
    def open(self) -> int:
        """Return what is neither used nor given back."""
        return self.amount - self.used - self.returned


@dataclass(frozen=True, slots=True)
class Lease:
    """Credit that one edge process may spend for one workspace. The totals only grow."""

    lease_id: bytes
    workspace_id: bytes
    edge_id: int
    epoch: int
    acquire_number: int
    opened_at: datetime
    renewed_at: datetime
    granted_total: int = 0
    returned_total: int = 0
    settled_total: int = 0
    recalled_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def held(self) -> int:
        """Return what the wallet holds for this lease."""
        return self.granted_total - self.returned_total - self.settled_total

    def pays_for(self, edge_id: int, epoch: int, started_at: datetime) -> bool:
        """Say whether a request's charge belongs to this lease.

        A request of an earlier, expired lease of the same edge process is charged to the wallet.
        """
        mine = self.closed_at is None and (self.edge_id, self.epoch) == (edge_id, epoch)
        return mine and started_at >= self.opened_at - LEASE_START_MARGIN


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A lease as its edge may see it, with the wallet around it (for messages only)."""

    lease_id: bytes
    workspace_id: bytes
    granted_total: int
    returned_total: int
    settled_total: int
    available: int
    held_elsewhere: int
    recalled: bool
    closed: bool

    @classmethod
    def of(cls, lease: Lease, wallet: Wallet) -> LeaseState:
        """Return the state of a lease in its wallet."""
        return cls(
            lease_id=lease.lease_id,
            workspace_id=lease.workspace_id,
            granted_total=lease.granted_total,
            returned_total=lease.returned_total,
            settled_total=lease.settled_total,
            available=wallet.available,
            held_elsewhere=wallet.held - lease.held,
            recalled=lease.recalled_at is not None,
            closed=lease.closed_at is not None,
        )


def chain_hash(previous: bytes, posting: Posting, posting_hash: bytes, moved: Wallet) -> bytes:
    """Return the hash of a wallet log row: the transaction, its entries and the balances after."""
    posted, held, frozen, receivable = moved.balances
    entry = posting.payload() | {
        "content_hash": posting_hash,
        "sequence": moved.sequence,
        "posted_after": posted,
        "held_after": held,
        "frozen_after": frozen,
        "receivable_after": receivable,
    }
    return wallet_log_hash(previous, entry)


def balance_of(wallet: Wallet, expired: int = 0) -> Balance:
    """Return what a workspace sees of its wallet: without free credit that has `expired`."""
    return Balance(
        total=wallet.posted - expired,
        held=wallet.held,
        available=wallet.available - expired,
        frozen=wallet.frozen,
        debt=wallet.receivable,
    )


def lease_size(
    *, needed: int, spend_rate: int, lifetime_seconds: int, available: int, edges: int
) -> int:
    """Return how much a lease grows: clamp(rate x lifetime, needed, available / (2 x edges)).

    The lower bound wins: one worst-case hold is granted as long as the wallet has it.
    """
    wanted = spend_rate * lifetime_seconds
    return max(needed, min(wanted, available // (2 * max(edges, 1))))


def _sum_of(entries: Sequence[Entry], accounts: frozenset[str] | set[str]) -> int:
    return sum(entry.amount for entry in entries if entry.account in accounts)

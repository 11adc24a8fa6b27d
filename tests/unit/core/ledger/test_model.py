"""Wallets, entries, chain hashes and lease sizes as pure values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ledger.burn import Part
from core.ledger.entries import (
    grant_entries,
    lease_grant_entries,
    lease_return_entries,
    relief_entries,
    repayment_entries,
    settlement_entries,
    waiver_entries,
)
from core.ledger.model import Entry, GrantKind, Lease, Posting, Wallet, lease_size
from core.ledger.settlement import Charge, shares_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WORKSPACE, GRANT = b"w" * 16, b"g" * 16
AMOUNTS = st.integers(0, 10**12)
PARTS = st.lists(
    st.builds(Part, st.just(GRANT), st.sampled_from(["promo", "paid"]), st.integers(1, 10**12)),
    min_size=1,
    max_size=4,
)


@given(
    st.sampled_from(GrantKind), st.integers(1, 10**12), AMOUNTS, AMOUNTS, PARTS, AMOUNTS, AMOUNTS
)
def test_every_posting_rule_sums_to_zero_without_zero_entries(
    kind: GrantKind,
    amount: int,
    debt: int,
    tax: int,
    parts: list[Part],
    owed: int,
    unbillable: int,
) -> None:
    """Double entry, by construction."""
    rules = (
        grant_entries(WORKSPACE, GRANT, kind, amount, debt, tax),
        lease_grant_entries(WORKSPACE, parts),
        lease_return_entries(WORKSPACE, parts),
        settlement_entries(WORKSPACE, leased=parts, parts=parts, owed=owed, unbillable=unbillable),
        waiver_entries(unbillable),
        repayment_entries(WORKSPACE, parts),
    )
    for entries in rules:
        assert sum(entry.amount for entry in entries) == 0
        assert all(entry.amount != 0 for entry in entries)


@given(st.integers(1, 10**12), PARTS, AMOUNTS)
def test_a_debt_that_should_not_have_been_is_taken_back_wherever_it_is_by_now(
    owed: int, repaid: list[Part], written_off: int
) -> None:
    """All entries together are worth the debt; what was repaid is un-paid by name."""
    entries = relief_entries(WORKSPACE, owed=owed, repaid=repaid, written_off=written_off)
    assert sum(entry.amount for entry in entries) == owed
    assert all(entry.amount != 0 for entry in entries)
    named = [entry for entry in entries if entry.grant_id is not None]
    assert sum(entry.amount for entry in named) == 0


def test_a_wallet_moves_by_its_own_entries_only() -> None:
    """Posted is all credit; held and frozen are parts of it; debt is apart."""
    entries = (
        Entry("promo", 70, WORKSPACE, GRANT),
        Entry("held", 20, WORKSPACE),
        Entry("frozen", 10, WORKSPACE),
        Entry("receivable", -5, WORKSPACE),
        Entry("promo", 1_000, b"x" * 16, GRANT),
        Entry("rev.usage", -95),
    )
    moved = Wallet(WORKSPACE).with_entries(entries)
    assert moved.balances == (100, 20, 10, 5)
    assert moved.available == 70


POSTING = Posting(
    txn_id=b"t" * 16,
    kind="settle",
    business_key="settle:1",
    entries=(Entry("held", -5, WORKSPACE), Entry("rev.usage", 5)),
    effective_at=NOW,
    created_at=NOW,
    actor="core.metering",
    workspace_id=WORKSPACE,
    usage_month=date(2026, 11, 1),
    records_root=bytes(32),
    record_count=1,
)
LATER = NOW + timedelta(microseconds=1)


@pytest.mark.parametrize(
    "other",
    [
        replace(POSTING, txn_id=b"u" * 16),
        replace(POSTING, kind="other"),
        replace(POSTING, business_key="settle:2"),
        replace(POSTING, effective_at=LATER),
        replace(POSTING, created_at=LATER),
        replace(POSTING, actor="other"),
        replace(POSTING, workspace_id=b"x" * 16),
        replace(POSTING, usage_month=date(2026, 12, 1)),
        replace(POSTING, records_root=b"\1" * 32),
        replace(POSTING, record_count=2),
        replace(POSTING, entries=POSTING.entries[::-1]),
        replace(POSTING, entries=(Entry("held", -5, WORKSPACE, GRANT), POSTING.entries[1])),
        replace(POSTING, entries=(Entry("held", -5, WORKSPACE), Entry("rev.waived", 5))),
        replace(POSTING, entries=(Entry("held", -6, WORKSPACE), Entry("rev.usage", 6))),
    ],
)
def test_the_chain_hash_covers_every_part_of_a_transaction(other: Posting) -> None:
    """Another value anywhere gives another head."""
    wallet = Wallet(WORKSPACE, posted=100, held=50)
    stored = bytes(32)
    assert wallet.after(POSTING, stored).head_hash != wallet.after(other, stored).head_hash


def test_the_chain_hash_covers_what_came_before_and_after() -> None:
    """The previous head, the content hash and the balances."""
    wallet = Wallet(WORKSPACE, posted=100, held=50)
    heads = {
        wallet.after(POSTING, bytes(32)).head_hash,
        wallet.after(POSTING, b"\1" * 32).head_hash,
        replace(wallet, head_hash=b"\1" * 32).after(POSTING, bytes(32)).head_hash,
        replace(wallet, posted=101).after(POSTING, bytes(32)).head_hash,
        replace(wallet, sequence=1).after(POSTING, bytes(32)).head_hash,
    }
    assert len(heads) == 5


@given(
    needed=st.integers(1, 10**9),
    rate=st.integers(0, 10**9),
    available=AMOUNTS,
    edges=st.integers(0, 100),
)
def test_a_lease_is_at_least_what_is_needed_and_else_a_fair_share(
    needed: int, rate: int, available: int, edges: int
) -> None:
    """clamp(rate x lifetime, needed, available / (2 x edges)); the lower bound wins."""
    size = lease_size(
        needed=needed, spend_rate=rate, lifetime_seconds=600, available=available, edges=edges
    )
    assert size >= needed
    assert size == needed or size <= min(rate * 600, available // (2 * max(edges, 1)))


def _lease(number: int, held: int, edge: int) -> Lease:
    return Lease(number.to_bytes(16, "big"), WORKSPACE, edge, 1, 1, NOW, NOW, granted_total=held)


def test_charges_go_to_the_lease_of_their_edge_process_and_the_rest_to_the_wallet() -> None:
    """Another epoch, an older lease's request and what is beyond the lease are the wallet's."""
    leases = [_lease(1, 100, edge=1), _lease(2, 30, edge=2)]
    charges = [
        Charge(1, 1, NOW, 60),
        Charge(2, 1, NOW, 50),
        Charge(1, 2, NOW, 7),
        Charge(1, 1, NOW - timedelta(seconds=11), 3),
        Charge(1, 1, NOW - timedelta(seconds=10), 1),
    ]
    shares, rest = shares_of(leases, charges)
    assert shares == {leases[0].lease_id: 61, leases[1].lease_id: 30}
    assert rest == 20 + 7 + 3

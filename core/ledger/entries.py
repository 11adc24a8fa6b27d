"""The posting rules: which entries each movement of credit has. Pure; amounts in nano-dollars."""

from __future__ import annotations

from collections.abc import Sequence

from core.ledger.burn import Part, total
from core.ledger.model import (
    EXP_PROMO,
    EXP_UNBILLABLE,
    HELD,
    RECEIVABLE,
    REV_BREAKAGE,
    REV_USAGE,
    REV_WAIVED,
    STRIPE_CLEARING,
    CreditGrant,
    Entry,
    GrantKind,
)


def grant_entries(
    workspace_id: bytes, grant_id: bytes, kind: GrantKind, amount: int, debt: int
) -> tuple[Entry, ...]:
    """Return the entries of new credit. A debt is paid first; the rest is free credit."""
    source = STRIPE_CLEARING if kind is GrantKind.PAID else EXP_PROMO
    repaid = min(amount, debt)
    return _without_zeros(
        Entry(source, -amount),
        Entry(RECEIVABLE, repaid, workspace_id),
        Entry(kind.account, amount - repaid, workspace_id, grant_id),
    )


def lease_grant_entries(workspace_id: bytes, parts: Sequence[Part]) -> tuple[Entry, ...]:
    """Return the entries of credit that moves from grants into a lease."""
    return (*_of_parts(workspace_id, parts, -1), Entry(HELD, total(parts), workspace_id))


def lease_return_entries(workspace_id: bytes, parts: Sequence[Part]) -> tuple[Entry, ...]:
    """Return the entries of credit that goes from a lease back to its grants."""
    return (Entry(HELD, -total(parts), workspace_id), *_of_parts(workspace_id, parts, 1))


def settlement_entries(
    workspace_id: bytes, *, from_leases: int, parts: Sequence[Part], owed: int, unbillable: int
) -> tuple[Entry, ...]:
    """Return the entries of charges: from leases, then from free credit, then as debt.

    `unbillable` is usage that we may not charge (an edge that died without proof of delivery): our
    own expense, beside the charges and outside of the wallet.
    """
    return _without_zeros(
        Entry(HELD, -from_leases, workspace_id),
        *_of_parts(workspace_id, parts, -1),
        Entry(RECEIVABLE, -owed, workspace_id),
        Entry(REV_USAGE, from_leases + total(parts) + owed),
        *waiver_entries(unbillable),
    )


def waiver_entries(amount: int) -> tuple[Entry, ...]:
    """Return the entries of usage that is not charged; they touch no wallet."""
    return _without_zeros(Entry(EXP_UNBILLABLE, -amount), Entry(REV_WAIVED, amount))


def expiry_entries(grant: CreditGrant) -> tuple[Entry, ...]:
    """Return the entries of what is free of an expired grant: given credit was our expense."""
    house = REV_BREAKAGE if grant.kind is GrantKind.PAID else EXP_PROMO
    return (
        Entry(grant.kind.account, -grant.remaining, grant.workspace_id, grant.grant_id),
        Entry(house, grant.remaining),
    )


def _of_parts(workspace_id: bytes, parts: Sequence[Part], sign: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(part.account, sign * part.amount, workspace_id, part.grant_id) for part in parts
    )


def _without_zeros(*entries: Entry) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.amount != 0)

"""The posting rules: which entries each movement of credit has. Pure; amounts in nano-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.ledger.burn import Part, total
from core.ledger.model import (
    EXP_BAD_DEBT,
    EXP_PROMO,
    EXP_UNBILLABLE,
    HELD,
    RECEIVABLE,
    REV_BREAKAGE,
    REV_USAGE,
    REV_WAIVED,
    STRIPE_CLEARING,
    TAX_PAYABLE,
    CreditGrant,
    Entry,
    GrantKind,
)


def grant_entries(
    workspace_id: bytes, grant_id: bytes, kind: GrantKind, amount: int, debt: int, tax: int = 0
) -> tuple[Entry, ...]:
    """Return the entries of new credit. A debt is paid first; the rest is free credit.

    `tax` came with the money for bought credit; it is no credit and no revenue.
    """
    source = STRIPE_CLEARING if kind is GrantKind.PAID else EXP_PROMO
    repaid = min(amount, debt)
    return without_zeros(
        Entry(source, -amount - tax),
        Entry(TAX_PAYABLE, tax),
        Entry(RECEIVABLE, repaid, workspace_id, grant_id),
        Entry(kind.account, amount - repaid, workspace_id, grant_id),
    )


def lease_grant_entries(workspace_id: bytes, parts: Sequence[Part]) -> tuple[Entry, ...]:
    """Return the entries of credit that moves from grants into a lease."""
    return (*of_parts(workspace_id, parts, -1), *of_parts(workspace_id, _held(parts), 1))


def lease_return_entries(workspace_id: bytes, parts: Sequence[Part]) -> tuple[Entry, ...]:
    """Return the entries of credit that goes from a lease back to its grants."""
    return (*of_parts(workspace_id, _held(parts), -1), *of_parts(workspace_id, parts, 1))


def settlement_entries(
    workspace_id: bytes,
    *,
    leased: Sequence[Part],
    parts: Sequence[Part],
    owed: int,
    unbillable: int,
) -> tuple[Entry, ...]:
    """Return the entries of charges: from leases, then from free credit, then as debt.

    `leased` is what leases' slices paid, by grant. `unbillable` is usage that we may not charge (an
    edge that died without proof of delivery): our own expense, beside the charges and outside of
    the wallet.
    """
    return without_zeros(
        *of_parts(workspace_id, _held(leased), -1),
        *of_parts(workspace_id, parts, -1),
        Entry(RECEIVABLE, -owed, workspace_id),
        Entry(REV_USAGE, total(leased) + total(parts) + owed),
        *waiver_entries(unbillable),
    )


def waiver_entries(amount: int) -> tuple[Entry, ...]:
    """Return the entries of usage that is not charged; they touch no wallet."""
    return without_zeros(Entry(EXP_UNBILLABLE, -amount), Entry(REV_WAIVED, amount))


def expiry_entries(grant: CreditGrant) -> tuple[Entry, ...]:
    """Return the entries of what is free of an expired grant: given credit was our expense."""
    house = REV_BREAKAGE if grant.kind is GrantKind.PAID else EXP_PROMO
    return (
        Entry(grant.kind.account, -grant.remaining, grant.workspace_id, grant.grant_id),
        Entry(house, grant.remaining),
    )


def repayment_entries(workspace_id: bytes, parts: Sequence[Part]) -> tuple[Entry, ...]:
    """Return the entries of free credit that pays a debt; the debt names what paid it."""
    paid = [replace(part, account=RECEIVABLE) for part in parts]
    return (*of_parts(workspace_id, parts, -1), *of_parts(workspace_id, paid, 1))


def relief_entries(
    workspace_id: bytes, *, owed: int, repaid: Sequence[Part], written_off: int
) -> tuple[Entry, ...]:
    """Return the entries of a debt of `owed` that should not have been.

    What grants have repaid of it goes back to them, what was written off is no loss any more; only
    the rest makes the debt of today smaller.
    """
    again = [replace(part, account=RECEIVABLE) for part in repaid]
    return without_zeros(
        Entry(RECEIVABLE, owed, workspace_id),
        *of_parts(workspace_id, again, -1),
        *of_parts(workspace_id, repaid, 1),
        Entry(RECEIVABLE, -written_off, workspace_id),
        Entry(EXP_BAD_DEBT, written_off),
    )


def of_parts(workspace_id: bytes, parts: Sequence[Part], sign: int) -> tuple[Entry, ...]:
    """Return an entry for each part, on its account and with its grant."""
    return tuple(
        Entry(part.account, sign * part.amount, workspace_id, part.grant_id) for part in parts
    )


def without_zeros(*entries: Entry) -> tuple[Entry, ...]:
    """Return the entries that move something."""
    return tuple(entry for entry in entries if entry.amount != 0)


def _held(parts: Sequence[Part]) -> list[Part]:
    return [replace(part, account=HELD) for part in parts]

"""In which order credit is used, and given back. Pure.

Burn order: priority (promotional and goodwill before paid), then the sooner expiry, then the older
grant. Stores return grants and slices in this order; what comes back goes back in reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.ledger.model import CreditGrant, Slice


@dataclass(frozen=True, slots=True)
class Part:
    """So much of one grant."""

    grant_id: bytes
    account: str
    amount: int


def burn(grants: Sequence[CreditGrant], amount: int) -> list[Part]:
    """Take an amount from grants in burn order, or less if they have less."""
    parts = []
    for grant in grants:
        taken = min(grant.remaining, amount)
        if taken > 0:
            parts.append(Part(grant.grant_id, grant.kind.account, taken))
            amount -= taken
    return parts


def use(slices: Sequence[Slice], amount: int) -> tuple[list[Slice], list[Part]]:
    """Use an amount of a lease's slices in burn order; return those that changed, and how much.

    Raises:
        ValueError: the slices do not have that much open.
    """
    changed, parts = [], []
    for piece, taken in _taken(slices, amount):
        changed.append(replace(piece, used=piece.used + taken))
        parts.append(Part(piece.grant_id, piece.account, taken))
    return changed, parts


def give_back(slices: Sequence[Slice], amount: int) -> tuple[list[Slice], list[Part]]:
    """Give an amount of a lease back to the recorded grants, last burnt first.

    Raises:
        ValueError: the slices do not have that much open.
    """
    changed, parts = [], []
    for piece, taken in _taken(tuple(reversed(slices)), amount):
        changed.append(replace(piece, returned=piece.returned + taken))
        parts.append(Part(piece.grant_id, piece.account, taken))
    return changed, parts


def total(parts: Iterable[Part]) -> int:
    """Return the sum of parts."""
    return sum(part.amount for part in parts)


def _taken(slices: Sequence[Slice], amount: int) -> list[tuple[Slice, int]]:
    taken = []
    for piece in slices:
        share = min(piece.open, amount)
        if share > 0:
            taken.append((piece, share))
            amount -= share
    if amount != 0:
        raise ValueError("a lease's slices do not cover what it holds")
    return taken

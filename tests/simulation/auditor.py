"""The auditor: what was asked for, and what the books must say of it. Adds up, knows no rules.

What was given, bought and served, and its amounts, it knows from those who asked; from the books it
learns whether that is there, and in the end it must be. What expired, was refunded or disputed it
takes from the books and, in the end, compares with the provider's own account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Given:
    """Credit that was asked to be given under a business key."""

    workspace_id: bytes
    amount: int
    expires_at: datetime | None


@dataclass(slots=True)
class Spent:
    """A request that an edge served: what it must be charged, once, and what was held for it."""

    workspace_id: bytes
    charge: int
    held: int
    must_arrive: bool = True
    """False once its spool was lost with its disk: then it may be charged once or not at all."""


@dataclass(slots=True)
class Auditor:
    """All that was asked for since the beginning."""

    given: dict[str, Given] = field(default_factory=dict)
    bought: dict[str, Given] = field(default_factory=dict)
    """By the request id of the purchase."""
    automatic: dict[bytes, int] = field(default_factory=dict)
    """What automatic top-up buys for a workspace, nano-dollars."""
    too_late: set[str] = field(default_factory=set)
    """Of what was to be given: asked for again when it would have expired at once."""
    spent: dict[bytes, Spent] = field(default_factory=dict)

    def grant_of_purchase(self, workspace_id: bytes, request_id: str) -> Given:
        """Return the credit that a purchase must give.

        Raises:
            KeyError: nobody asked for it.
        """
        found = self.bought.get(request_id)
        return found or Given(workspace_id, self.automatic[workspace_id], None)

    def beyond_holds(self, workspace_id: bytes) -> int:
        """Return by how much requests of a workspace cost more than was held for them."""
        mine = [spent for spent in self.spent.values() if spent.workspace_id == workspace_id]
        return sum(max(0, spent.charge - spent.held) for spent in mine)

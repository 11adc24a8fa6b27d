"""Several proofs as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from core.db.database import Transaction
from core.ledger.proofs.finding import Finding, RecordProofs, Tally


class Together:
    """Runs proofs one after the other on the same moment of the database."""

    def __init__(self, *proofs: RecordProofs) -> None:
        """Take the proofs in the order in which they are to run."""
        self._proofs: Sequence[RecordProofs] = proofs

    async def check(
        self, tx: Transaction, workspace_id: bytes | None, tally: Tally
    ) -> AsyncIterator[Finding]:
        """Yield what any of them finds."""
        for proof in self._proofs:
            async for finding in proof.check(tx, workspace_id, tally):
                yield finding

"""The whole proof: chains, sums and records, on one moment of the database."""

from __future__ import annotations

from collections.abc import AsyncIterator

from core.db.database import Transaction
from core.ledger.proofs.chain import check_chains, check_outside
from core.ledger.proofs.finding import Finding, RecordProofs, Tally
from core.ledger.proofs.sums import check_sums


async def verify(
    tx: Transaction, workspace_id: bytes | None, records: RecordProofs, tally: Tally
) -> AsyncIterator[Finding]:
    """Yield all that does not add up, of one workspace or of all; count it in `tally`.

    The transaction must see one moment (`snapshot`), or what is posted meanwhile looks wrong.
    """
    checks = (
        check_chains(tx, workspace_id, tally),
        check_outside(tx, workspace_id, tally),
        check_sums(tx, workspace_id),
        records.check(tx, workspace_id, tally),
    )
    for check in checks:
        async for finding in check:
            tally.findings += 1
            yield finding

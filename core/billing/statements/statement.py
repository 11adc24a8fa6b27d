"""Makes the statement of a workspace and month from the ledger, the documents and the records."""

from __future__ import annotations

from datetime import date

from core.billing.statements.model import (
    LEASES,
    LINES_MAX,
    Statement,
    start_of,
    sums_of,
    with_the_rest,
)
from core.billing.statements.store import Stretch, read_standing
from core.db.database import Transaction
from core.ledger.store import read_wallet
from core.metering.model import add_months
from kit.ids import format_id
from kit.reasons import NotFound


async def statement_of(
    tx: Transaction, workspace_id: bytes, month: date, *, lines_max: int = LINES_MAX
) -> Statement:
    """Return the statement of a month, by posting date (UTC); of one that runs, so far.

    The transaction must see one moment (`snapshot`).

    Raises:
        NotFound: the workspace has no wallet.
    """
    if await read_wallet(tx, workspace_id) is None:
        raise NotFound(workspace=format_id("ws", workspace_id))
    start = start_of(month)
    opening = await read_standing(tx, workspace_id, start)
    closing = await read_standing(tx, workspace_id, start_of(add_months(month, 1)))
    stretch = Stretch(tx, workspace_id, opening, closing)
    kinds = await stretch.kinds()
    lines = await stretch.lines(lines_max, start)
    told = sum(each.count for each in kinds if each.kind not in LEASES | {"settle"})
    return Statement(
        workspace_id=workspace_id,
        month=month,
        opening=opening,
        closing=closing,
        sums=sums_of(kinds),
        lines=tuple(lines),
        omitted_lines=told - len(lines),
        usage=with_the_rest(await stretch.charged(), await stretch.usage()),
    )

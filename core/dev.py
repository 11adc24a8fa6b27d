"""The dev profile's example: a workspace with promotional credit and one key, made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from core.accounts import service as accounts
from core.accounts.store import get_workspace
from core.audit import Act
from core.db.database import Pool, Transaction
from core.keyring import Keyring
from core.keys import service as keys
from core.keys.model import KeySettings
from core.ledger import credits as ledger_credits
from core.ledger.model import GrantKind
from kit.files import write_private
from kit.ids import format_id, parse_id
from kit.money import NANOS_PER_DOLLAR
from kit.reasons import NotFound

EXAMPLE_CREDIT_NANOS: Final = 10 * NANOS_PER_DOLLAR
DEMO_MODEL: Final = "demo"
_NAME: Final = "Example workspace"


async def make_example(pool: Pool, act: Act, peppers: Keyring, path: Path) -> bool:
    """Make the example and write its file, unless both are there; say whether it was made.

    The file is written last: after a crash in between, or with a new database, it is missing or
    names a workspace that does not exist, and the example is made anew.
    """
    async with pool.transaction("system") as tx:
        if await _exists(tx, path):
            return False
    run = act.ids.new().hex()
    workspace_id = await _make_workspace(pool, act, run)
    async with pool.transaction("system") as tx:
        shown = await keys.create_key(
            tx,
            act,
            peppers,
            request_id=f"example-{run}",
            workspace_id=workspace_id,
            display_name="Example key",
            settings=KeySettings(),
        )
        await tx.commit()
    example = {
        "workspace_id": format_id("ws", workspace_id),
        "api_key": shown.secret,
        "demo_model": DEMO_MODEL,
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps(example, indent=2).encode())
    return True


async def _make_workspace(pool: Pool, act: Act, run: str) -> bytes:
    async with pool.transaction("system") as tx:
        workspace = await accounts.create_workspace(
            tx, act, request_id=f"example-{run}", display_name=_NAME, default_lane=0
        )
        await tx.commit()
    async with pool.transaction("system") as tx:
        await ledger_credits.grant_credit(
            tx,
            workspace_id=workspace.workspace_id,
            kind=GrantKind.PROMOTIONAL,
            amount=EXAMPLE_CREDIT_NANOS,
            expires_at=None,
            business_key=f"promo:example:{run}",
            actor=act.actor,
            now=act.now,
        )
        await tx.commit()
    return workspace.workspace_id


async def _exists(tx: Transaction, path: Path) -> bool:
    try:
        content = path.read_bytes()  # noqa: ASYNC240 at start, nothing else runs
        workspace_id = parse_id("ws", json.loads(content)["workspace_id"])
        await get_workspace(tx, workspace_id)
    except (OSError, ValueError, KeyError, NotFound):
        return False
    return True

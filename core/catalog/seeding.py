"""The first catalogue: our seed goes into an empty one, once. Prices never change by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core.audit import Act
from core.catalog import service, store
from core.catalog.providers import DEMO
from core.catalog.service import Upstreams
from core.db.database import Pool

SEED: Final = Path(__file__).parent / "seed"


async def seed_catalog(pool: Pool, act: Act, upstreams: Upstreams, *, with_demo: bool) -> None:
    """Import the seed where there are no upstreams, then connect them to this installation."""
    async with pool.transaction("system") as tx:
        await store.lock_catalog(tx)
        known = {upstream.facts.name for upstream in await store.list_upstreams(tx)}
        for name in _wanted(known, with_demo=with_demo):
            content = (SEED / name).read_bytes()
            await service.import_catalog(tx, act, upstreams, content, dry_run=False)
        await service.connect_upstreams(tx, act, upstreams)
        await tx.commit()


def _wanted(known: set[str], *, with_demo: bool) -> list[str]:
    files = [] if known - {DEMO} else ["catalog.json"]
    if with_demo and DEMO not in known:
        files.append("demo.json")
    return files

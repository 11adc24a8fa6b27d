"""The first catalogue: our seed goes into an empty one, once. Prices never change by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core.audit import Act
from core.catalog import service, store
from core.catalog.providers import DEMO_PATHS
from core.catalog.service import Upstreams
from core.db.database import Pool

SEED: Final = Path(__file__).parent / "seed"
DEMO_SEED: Final = "demo.json"
SEEDS: Final = ("catalog.json", DEMO_SEED)


async def seed_catalog(pool: Pool, act: Act, upstreams: Upstreams, *, with_demo: bool) -> None:
    """Import the seed where there are no upstreams, then connect them to this installation.

    One transaction for each step: the change feed's counter, which each locks last, is not kept.
    """
    for name in SEEDS if with_demo else SEEDS[:1]:
        async with pool.transaction("system") as tx:
            await store.lock_catalog(tx)
            known = {upstream.facts.name for upstream in await store.list_upstreams(tx)}
            if _is_wanted(name, known):
                content = (SEED / name).read_bytes()
                await service.import_catalog(tx, act, upstreams, content, dry_run=False)
                await tx.commit()
    async with pool.transaction("system") as tx:
        await service.connect_upstreams(tx, act, upstreams)
        await tx.commit()


def _is_wanted(name: str, known: set[str]) -> bool:
    if name == DEMO_SEED:
        # Also where an installation has the demo provider of a version with fewer APIs.
        return not DEMO_PATHS.keys() <= known
    return not known - DEMO_PATHS.keys()

"""Catalogue documents for tests, and how they are imported."""

from __future__ import annotations

import json
from typing import Any

from core.catalog import service, store
from core.catalog.diff import ChangeLine
from core.catalog.model import Catalog
from core.catalog.providers import Providers
from core.catalog.sealing import Sealer
from core.catalog.service import Upstreams
from core.keyring import Keyring
from kit.clock import now
from tests.integration.core.conftest import World

SEALER = Sealer(Keyring({1: b"k" * 32}))
ALL_LANES = 5
ACME = {"upstream": "acme", "upstream_model": "M1"}
CHAT = "chat_completions"


def upstreams(**variables: str) -> Upstreams:
    """This installation's environment."""
    return Upstreams(Providers(variables), SEALER)


def model(public_id: str = "m-one", **changes: Any) -> dict[str, Any]:
    """A model of a document."""
    return {
        "public_id": public_id,
        "display_name": "Model",
        "maker": "maker",
        "context_tokens": 1000,
        "max_output_tokens": 100,
        "routes": [{"candidates": [{"upstream": "acme", "upstream_model": "M1"}]}],
        "prices": [{"tiers": [{"input": 1_000_000_000, "output": 2_000_000_000}]}],
        **changes,
    }


def document(*models: dict[str, Any], **changes: Any) -> bytes:
    """A document with one upstream."""
    whole = {
        "format": 1,
        "upstreams": [{"name": "acme", "base_url": "https://acme.example/v1"}],
        "models": list(models),
        **changes,
    }
    return json.dumps(whole).encode()


def acme(**changes: Any) -> dict[str, Any]:
    """The upstream of a document."""
    return {"name": "acme", "base_url": "https://acme.example/v1", **changes}


def state(endpoint: str, status: str = "limited", note: str = "") -> dict[str, Any]:
    """What a document states of an endpoint."""
    return {"endpoint": endpoint, "status": status, "note": note}


async def load(
    world: World, content: bytes, *, dry_run: bool = False, **variables: str
) -> list[ChangeLine]:
    """Import a document."""
    async with world.pool.transaction("system") as tx:
        lines = await service.import_catalog(
            tx, world.act(), upstreams(**variables), content, dry_run=dry_run
        )
        await tx.commit()
    return lines


async def catalog_of(world: World) -> Catalog:
    """The catalogue as it stands."""
    async with world.pool.transaction("system") as tx:
        return await store.read_catalog(tx, now(world.clock))

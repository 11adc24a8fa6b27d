"""Use cases of the catalogue. Nothing here changes a price by itself: people import or publish."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from core.audit import Act
from core.catalog import store
from core.catalog.diff import ChangeLine, NewPrice, Plan, compare, is_new_price, price_before
from core.catalog.document import check_tiers, parse_document
from core.catalog.model import RATE_MAX, Catalog, LaneName, StoredPrice, lane_number
from core.catalog.providers import Providers
from core.catalog.sealing import CannotOpen, Sealer
from core.db.call_replay import claim_call
from core.db.database import Transaction
from core.feed import ChangeKind, record_change
from kit.canonical import Canonical
from kit.charge import PriceTier
from kit.clock import to_micros
from kit.reasons import InvalidArgument, NotFound

IMPORT: Final = "catalog.ImportCatalog"
PUBLISH: Final = "catalog.PublishPrice"
CONNECT: Final = "catalog.connect_upstreams"


@dataclass(frozen=True, slots=True)
class Upstreams:
    """What this installation knows of upstreams beyond the catalogue: addresses, credentials."""

    providers: Providers
    sealer: Sealer


async def import_catalog(
    tx: Transaction, act: Act, upstreams: Upstreams, content: bytes, *, dry_run: bool
) -> list[ChangeLine]:
    """Import a document in one step, or only say what it would change.

    Models that a `complete` document leaves out are disabled, never deleted; a price version is
    new only where its rates differ.

    Raises:
        InvalidArgument, PriceInThePast, AlreadyExists
    """
    document = parse_document(content)
    placed = tuple(upstreams.providers.placed(facts) for facts in document.upstream_facts())
    await store.lock_catalog(tx)
    catalog = await store.read_catalog(tx, act.now)
    plan = compare(catalog, document.model_copy(update={"upstreams": placed}), act.now)
    if plan.lines and not dry_run:
        await _apply(tx, plan, act.now)
        await _connect(tx, upstreams, await store.read_catalog(tx, act.now))
        await _recorded(tx, act, IMPORT, "catalog")
    return plan.lines


async def publish_price(
    tx: Transaction,
    act: Act,
    *,
    request_id: str,
    public_id: str,
    lane: LaneName,
    effective_from: datetime | None,
    tiers: tuple[PriceTier, ...],
) -> StoredPrice:
    """Publish one price version; the same request id, or the price in force, answers what is there.

    Raises:
        InvalidArgument, NotFound, PriceInThePast, AlreadyExists, RequestIdReused
    """
    _check_rates(tiers)
    await store.lock_catalog(tx)
    catalog = await store.read_catalog(tx, act.now)
    if public_id not in catalog.models:
        raise NotFound(model=public_id)
    price = NewPrice(public_id, lane, effective_from or act.now, tiers)
    before = price_before(catalog, price)
    kept = before if isinstance(before, StoredPrice) and before.tiers == tiers else None
    (number,) = await store.next_price_numbers(tx, 1) if kept is None else (kept.number,)
    first = await claim_call(
        tx,
        method=PUBLISH,
        request_id=request_id,
        content=_content(price, effective_from),
        object_id=UUID(int=number).bytes,
        now=act.now,
    )
    if first is not None:
        return await _price(tx, int.from_bytes(first, "big"))
    if is_new_price(price, before, act.now):
        await store.put_prices(tx, [(number, price)], act.now)
        await _recorded(tx, act, PUBLISH, f"price/{number}")
    return await _price(tx, number)


async def connect_upstreams(tx: Transaction, act: Act, upstreams: Upstreams) -> bool:
    """Give upstreams the addresses and credentials of this installation; say if any changed.

    An upstream without a credential is off.
    """
    await store.lock_catalog(tx)
    catalog = await store.read_catalog(tx, act.now)
    moved = [
        upstreams.providers.placed(stored.facts)
        for stored in catalog.upstreams.values()
        if upstreams.providers.placed(stored.facts) != stored.facts
    ]
    await store.put_upstreams(tx, moved, act.now)
    connected = await _connect(tx, upstreams, catalog)
    if not moved and not connected:
        return False
    await _recorded(tx, act, CONNECT, "catalog")
    return True


async def _apply(tx: Transaction, plan: Plan, now: datetime) -> None:
    await store.put_upstreams(tx, plan.upstreams, now)
    await store.put_models(tx, plan.models, now)
    await store.put_aliases(tx, plan.aliases)
    await store.put_routes(tx, plan.routes)
    if plan.endpoints is not None:
        await store.put_endpoints(tx, plan.endpoints)
    numbers = await store.next_price_numbers(tx, len(plan.prices))
    await store.put_prices(tx, list(zip(numbers, plan.prices, strict=True)), now)


async def _connect(tx: Transaction, upstreams: Upstreams, catalog: Catalog) -> bool:
    changed = False
    for name, stored in catalog.upstreams.items():
        wanted = upstreams.providers.credential_of(name)
        if wanted == _opened(upstreams.sealer, name, stored.credential_sealed):
            continue
        sealed = None if wanted is None else upstreams.sealer.seal(name, wanted)
        await store.set_credential(tx, name, sealed)
        changed = True
    return changed


def _opened(sealer: Sealer, name: str, sealed: bytes | None) -> bytes | None:
    if sealed is None:
        return None
    try:
        return sealer.open(name, sealed)
    except CannotOpen:
        # Sealed under a key that is gone: any credential, and none, is another one.
        return b""


async def _recorded(tx: Transaction, act: Act, action: str, object_id: str) -> None:
    await act.audit(tx, action, object_id)
    await record_change(tx, ChangeKind.CATALOG, None, now=act.now)


async def _price(tx: Transaction, number: int) -> StoredPrice:
    price = await store.get_price(tx, number)
    if price is None:
        raise NotFound(price=number)
    return price


def _check_rates(tiers: tuple[PriceTier, ...]) -> None:
    check_tiers(tiers, "price")
    if any(not 0 <= rate <= RATE_MAX for tier in tiers for rate in tier.rates):
        raise InvalidArgument(fields="tiers")


def _content(price: NewPrice, effective_from: datetime | None) -> dict[str, Canonical]:
    return {
        "public_id": price.public_id,
        "lane": lane_number(price.lane),
        "effective_from": None if effective_from is None else to_micros(effective_from),
        "tiers": [[tier.above_context_tokens, *tier.rates] for tier in price.tiers],
    }

"""What a document would change: a pure comparison, shown to people and then applied as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from core.catalog.document import Document, ModelEntry, PriceEntry, describe
from core.catalog.model import (
    Catalog,
    EndpointFacts,
    EndpointName,
    Facts,
    LaneName,
    ModelFacts,
    Route,
    StoredPrice,
    UpstreamFacts,
    in_endpoint_order,
)
from kit.charge import Dimension, PriceTier
from kit.money import format_dollars
from kit.reasons import AlreadyExists, InvalidArgument, PriceInThePast

_SHOWN_OF_NEW_MODEL: Final = ("kind", "context_tokens", "max_output_tokens", "enabled")
_SHOWN_OF_NEW_UPSTREAM: Final = ("base_url", "dialect", "surfaces", "data_policy")


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change for people: what, which, before, after."""

    kind: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A price version to publish."""

    public_id: str
    lane: LaneName
    effective_from: datetime
    tiers: tuple[PriceTier, ...]


@dataclass(slots=True)
class Plan:
    """All that an import writes, and the lines that say so."""

    upstreams: list[UpstreamFacts] = field(default_factory=list)
    models: list[ModelFacts] = field(default_factory=list)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routes: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    prices: list[NewPrice] = field(default_factory=list)
    endpoints: tuple[EndpointFacts, ...] | None = None
    """All states that are stated from now on; None leaves them."""
    lines: list[ChangeLine] = field(default_factory=list)


def compare(catalog: Catalog, document: Document, now: datetime) -> Plan:
    """Return what importing the document changes.

    Raises:
        InvalidArgument: a candidate's upstream, or an alias, belongs to nobody or somebody else,
            or a candidate serves a model by an endpoint that its upstream does not have.
        PriceInThePast: a price version would start in the past.
        AlreadyExists: another price starts at the same instant.
    """
    plan = Plan()
    _check_references(catalog, document)
    for upstream in document.upstreams:
        _compare_upstream(plan, catalog, upstream)
    for entry in document.models:
        _compare_model(plan, catalog, entry)
        _compare_routes(plan, catalog, entry, document)
        for price in sorted(entry.prices, key=lambda price: price.effective_from or now):
            _compare_price(plan, catalog, entry.public_id, price, now)
    if document.complete:
        _disable_others(plan, catalog, document)
    _compare_endpoints(plan, catalog, document)
    return plan


def _check_references(catalog: Catalog, document: Document) -> None:
    upstreams = _surfaces_of(catalog, document)
    named = {model.public_id for model in document.models}
    kept = {
        alias
        for public_id, model in catalog.models.items()
        if public_id not in named
        for alias in model.facts.aliases
    }
    for index, model in enumerate(document.models):
        candidates = [item for route in model.routes for item in route.candidates]
        if not {item.upstream for item in candidates} <= upstreams.keys():
            raise InvalidArgument(fields=f"models.{index}.routes.candidates.upstream")
        if not all(upstreams[item.upstream].issuperset(item.surfaces) for item in candidates):
            raise InvalidArgument(fields=f"models.{index}.routes.candidates.surfaces")
        if not {*model.aliases}.isdisjoint({*catalog.models, *kept}) or model.public_id in kept:
            raise InvalidArgument(fields=f"models.{index}.aliases")


def _surfaces_of(catalog: Catalog, document: Document) -> dict[str, frozenset[EndpointName]]:
    stored = {name: upstream.facts.served() for name, upstream in catalog.upstreams.items()}
    return stored | {facts.name: facts.served() for facts in document.upstreams}


def _compare_upstream(plan: Plan, catalog: Catalog, facts: UpstreamFacts) -> None:
    stored = catalog.upstreams.get(facts.name)
    if stored is not None and stored.facts == facts:
        return
    plan.upstreams.append(facts)
    before = None if stored is None else stored.facts
    plan.lines.append(_line("upstream", facts.name, before, facts, _SHOWN_OF_NEW_UPSTREAM))


def _compare_model(plan: Plan, catalog: Catalog, entry: ModelEntry) -> None:
    facts, stored = entry.facts(), catalog.models.get(entry.public_id)
    before = None if stored is None else stored.facts
    if before == facts:
        return
    old_aliases = () if before is None else before.aliases
    if facts.aliases != old_aliases:
        plan.aliases[facts.public_id] = facts.aliases
        shown = (" ".join(old_aliases), " ".join(facts.aliases))
        plan.lines.append(ChangeLine("alias", facts.public_id, *shown))
    if before is None or before.model_copy(update={"aliases": facts.aliases}) != facts:
        plan.models.append(facts)
        line = _line("model", facts.public_id, before, facts, _SHOWN_OF_NEW_MODEL)
        plan.lines.append(line)


def _compare_routes(plan: Plan, catalog: Catalog, entry: ModelEntry, document: Document) -> None:
    stored = catalog.models.get(entry.public_id)
    before = {} if stored is None else {route.lane: route for route in stored.routes}
    after = {route.lane: route for route in entry.routes_by_lane(document.policies)}
    if before == after:
        return
    plan.routes[entry.public_id] = tuple(after.values())
    for lane in sorted({*before, *after}):
        if before.get(lane) != after.get(lane):
            name = f"{entry.public_id} {lane}"
            shown = (_route_text(before.get(lane)), _route_text(after.get(lane)))
            plan.lines.append(ChangeLine("route", name, *shown))


def _compare_price(
    plan: Plan, catalog: Catalog, public_id: str, entry: PriceEntry, now: datetime
) -> None:
    moment = now if entry.effective_from is None else entry.effective_from
    for lane in entry.lanes:
        price = NewPrice(public_id, lane, moment, entry.price_tiers())
        before = price_before(catalog, price, plan.prices)
        if not is_new_price(price, before, now):
            continue
        plan.prices.append(price)
        old, new = price_texts(() if before is None else before.tiers, price.tiers)
        if moment > now:
            new = f"{new} from {moment.isoformat(timespec='seconds')}"
        plan.lines.append(ChangeLine("price", f"{public_id} {lane}", old, new))


def price_before(
    catalog: Catalog, price: NewPrice, planned: Sequence[NewPrice] = ()
) -> StoredPrice | NewPrice | None:
    """Return the price that applies at the instant of a new one, of those stored and planned."""
    key = (price.public_id, price.lane)
    known: list[StoredPrice | NewPrice] = list(catalog.prices.get(key, ()))
    known += [other for other in planned if (other.public_id, other.lane) == key]
    begun = [other for other in known if other.effective_from <= price.effective_from]
    return max(begun, key=lambda other: other.effective_from, default=None)


def is_new_price(price: NewPrice, before: StoredPrice | NewPrice | None, now: datetime) -> bool:
    """Say whether a price differs from what applies at its instant.

    Raises:
        PriceInThePast: it would start in the past.
        AlreadyExists: another price starts at the same instant.
    """
    same_instant = before is not None and before.effective_from == price.effective_from
    same_tiers = before is not None and before.tiers == price.tiers
    if same_tiers and (same_instant or price.effective_from >= now):
        return False
    if price.effective_from < now:
        raise PriceInThePast(model=price.public_id, lane=price.lane)
    if same_instant:
        raise AlreadyExists(model=price.public_id, lane=price.lane)
    return True


def _disable_others(plan: Plan, catalog: Catalog, document: Document) -> None:
    named = {model.public_id for model in document.models}
    for public_id, stored in catalog.models.items():
        if public_id not in named and stored.facts.enabled:
            disabled = stored.facts.model_copy(update={"enabled": False})
            plan.models.append(disabled)
            plan.lines.append(ChangeLine("model", public_id, "enabled true", "enabled false"))


def _compare_endpoints(plan: Plan, catalog: Catalog, document: Document) -> None:
    states = document.endpoint_states()
    if states is None or states == catalog.endpoints:
        return
    plan.endpoints = states
    before = {state.endpoint: state for state in catalog.endpoints}
    after = {state.endpoint: state for state in states}
    for endpoint in in_endpoint_order({*before, *after}):
        if before.get(endpoint) != after.get(endpoint):
            shown = (_state_text(before.get(endpoint)), _state_text(after.get(endpoint)))
            plan.lines.append(ChangeLine("endpoint", endpoint, *shown))


def _state_text(state: EndpointFacts | None) -> str:
    if state is None:
        return ""
    return f"status {state.status}" + (f", note {state.note}" if state.note else "")


def _line(
    kind: str, name: str, before: Facts | None, after: Facts, shown_of_new: tuple[str, ...]
) -> ChangeLine:
    if before is None:
        return ChangeLine(kind, name, "", describe(after, shown_of_new))
    changed = [
        field
        for field in type(after).model_fields
        if field != "aliases" and getattr(before, field) != getattr(after, field)
    ]
    return ChangeLine(kind, name, describe(before, changed), describe(after, changed))


def _route_text(route: Route | None) -> str:
    if route is None:
        return ""
    policy = describe(route.policy, type(route.policy).model_fields)
    candidates = ", ".join(
        f"{item.upstream}:{item.upstream_model} w{item.weight} p{item.priority}"
        f" {item.first_byte_timeout_ms}/{item.idle_timeout_ms}ms"
        + (f" max {item.max_running}" if item.max_running else "")
        + (f" by {'+'.join(item.surfaces)}" if item.surfaces else "")
        for item in route.candidates
    )
    return f"{candidates} ({policy})"


def price_texts(before: tuple[PriceTier, ...], after: tuple[PriceTier, ...]) -> tuple[str, str]:
    """Return both prices as `input 1.00, output 5.00`, in US dollars per 1,000,000 units.

    Of a changed price only what differs is named; of a new one what is not filled in by rule.
    """
    thresholds = {tier.above_context_tokens for tier in (*before, *after)}
    old = {tier.above_context_tokens: tier.rates for tier in before}
    new = {tier.above_context_tokens: tier.rates for tier in after}
    texts: tuple[list[str], list[str]] = ([], [])
    for threshold in sorted(thresholds):
        shown = _differing(old.get(threshold), new.get(threshold))
        for rates, parts in zip((old.get(threshold), new.get(threshold)), texts, strict=True):
            if rates is not None:
                parts.append(_rates_text(threshold, rates, shown))
    return "; ".join(filter(None, texts[0])), "; ".join(filter(None, texts[1]))


def _differing(old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> list[Dimension]:
    if old is None or new is None:
        return [Dimension.INPUT, Dimension.CACHED_INPUT, Dimension.CACHE_WRITE, Dimension.OUTPUT]
    return [dimension for dimension in Dimension if old[dimension] != new[dimension]]


def _rates_text(threshold: int, rates: tuple[int, ...], shown: list[Dimension]) -> str:
    if not shown:
        return ""
    prefix = f"above {threshold}: " if threshold else ""
    parts = [f"{item.name.lower()} {format_dollars(rates[item])}" for item in shown]
    return prefix + ", ".join(parts)

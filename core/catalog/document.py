"""Catalogue documents: JSON that people write and review (docs/catalogue.md), checked strictly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from core.catalog.model import (
    ENDPOINTS,
    LANES,
    Candidate,
    EndpointFacts,
    Facts,
    LaneName,
    ModelFacts,
    Policy,
    Rates,
    Route,
    UpstreamFacts,
    endpoint_number,
    in_endpoint_order,
)
from kit.charge import MAX_TIERS, PriceTier
from kit.reasons import InvalidArgument

FORMAT: Final = 1
MODELS_MAX: Final = 2_000
UPSTREAMS_MAX: Final = 1_000
_ERRORS_SHOWN: Final = 4

DEFAULT_POLICIES: Final[dict[LaneName, Policy]] = {
    "default": Policy(queue_wait_ms=2_000),
    "economy": Policy(queue_rank=20, queue_wait_ms=30_000),
    "coding": Policy(balance="sticky", queue_wait_ms=10_000),
    "priority": Policy(balance="lowest_latency", queue_rank=0, queue_wait_ms=5_000),
    "opportunistic": Policy(spare_only=True, queue_rank=30),
}
"""What the routes of a lane get where a document says nothing of it."""

LaneNames = Annotated[tuple[LaneName, ...], Field(min_length=1, max_length=len(LANES))]


_Surfaced = TypeVar("_Surfaced", Candidate, UpstreamFacts)


class RouteEntry(Facts):
    """The same candidates for one or several lanes; all five if none is named."""

    lanes: LaneNames = LANES
    max_attempts: int = Field(default=3, ge=1, le=16)
    candidates: tuple[Candidate, ...] = Field(min_length=1, max_length=64)
    policy: Policy | None = None


class PriceEntry(Facts):
    """The same price for one or several lanes, from an instant on; from the import on if unset."""

    lanes: LaneNames = LANES
    effective_from: Annotated[datetime, Field(strict=False)] | None = None
    tiers: tuple[Rates, ...] = Field(min_length=1, max_length=MAX_TIERS)

    def price_tiers(self) -> tuple[PriceTier, ...]:
        """Return the tiers with all rates."""
        return tuple(tier.tier() for tier in self.tiers)


class ModelEntry(ModelFacts):
    """A model with its routes and prices."""

    routes: tuple[RouteEntry, ...] = Field(default=(), max_length=len(LANES))
    prices: tuple[PriceEntry, ...] = Field(default=(), max_length=64)

    def facts(self) -> ModelFacts:
        """Return what is stored of the model itself, in a fixed order."""
        kept = {name: getattr(self, name) for name in ModelFacts.model_fields}
        kept["aliases"] = tuple(sorted(self.aliases))
        kept["capabilities"] = tuple(sorted(self.capabilities))
        return ModelFacts(**kept)

    def routes_by_lane(self, policies: Mapping[LaneName, Policy]) -> tuple[Route, ...]:
        """Return one route for each lane, in the order of the lanes."""
        found = {
            lane: Route(
                lane=lane,
                policy=entry.policy or policies.get(lane) or DEFAULT_POLICIES[lane],
                max_attempts=entry.max_attempts,
                candidates=tuple(sorted(map(_ordered, entry.candidates), key=candidate_order)),
            )
            for entry in self.routes
            for lane in entry.lanes
        }
        return tuple(found[lane] for lane in LANES if lane in found)


class Document(Facts):
    """A catalogue document. `complete`: models that it does not name are disabled.

    `policies` are those of its routes that have none of their own. Where it has `endpoints`, these
    are all that is stated of endpoints; where it does not, what was stated stays.
    """

    format: Literal[1]
    complete: bool = False
    policies: dict[LaneName, Policy] = Field(default_factory=dict)
    upstreams: tuple[UpstreamFacts, ...] = Field(default=(), max_length=UPSTREAMS_MAX)
    models: tuple[ModelEntry, ...] = Field(default=(), max_length=MODELS_MAX)
    endpoints: tuple[EndpointFacts, ...] | None = Field(default=None, max_length=len(ENDPOINTS))

    def upstream_facts(self) -> tuple[UpstreamFacts, ...]:
        """Return the upstreams with their surfaces in the order in which they are stored."""
        return tuple(_ordered(facts) for facts in self.upstreams)

    def endpoint_states(self) -> tuple[EndpointFacts, ...] | None:
        """Return the states in the order in which they are stored, None where it names none."""
        if self.endpoints is None:
            return None
        return tuple(sorted(self.endpoints, key=lambda state: endpoint_number(state.endpoint)))


def _ordered(facts: _Surfaced) -> _Surfaced:
    return facts.model_copy(update={"surfaces": in_endpoint_order(facts.surfaces)})


def candidate_order(candidate: Candidate) -> tuple[int, str, str]:
    """Order candidates the way they are stored: by priority, then by name."""
    return candidate.priority, candidate.upstream, candidate.upstream_model


def parse_document(content: bytes) -> Document:
    """Read a document.

    Raises:
        InvalidArgument: names the places that are wrong, never their values.
    """
    try:
        document = Document.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [".".join(map(str, part["loc"])) for part in found[:_ERRORS_SHOWN]]
        raise InvalidArgument(fields=",".join(places) or "document") from None
    _check_names(document)
    for index, model in enumerate(document.models):
        _check_model(model, f"models.{index}")
    return document


def check_tiers(tiers: tuple[PriceTier, ...], place: str) -> None:
    """Refuse tiers that do not ascend from zero.

    Raises:
        InvalidArgument
    """
    thresholds = [tier.above_context_tokens for tier in tiers]
    ascending = all(lower < higher for lower, higher in pairwise(thresholds))
    if not thresholds or thresholds[0] != 0 or not ascending or len(tiers) > MAX_TIERS:
        raise InvalidArgument(fields=f"{place}.tiers")


def _check_names(document: Document) -> None:
    names = [model.public_id for model in document.models]
    _check_unique(names, "models.public_id")
    aliases = [alias for model in document.models for alias in model.aliases]
    _check_unique([*names, *aliases], "models.aliases")
    _check_unique([upstream.name for upstream in document.upstreams], "upstreams.name")
    for index, upstream in enumerate(document.upstreams):
        _check_unique(upstream.surfaces, f"upstreams.{index}.surfaces")
    _check_unique([state.endpoint for state in document.endpoints or ()], "endpoints.endpoint")


def _check_model(model: ModelEntry, place: str) -> None:
    _check_unique([lane for route in model.routes for lane in route.lanes], f"{place}.routes")
    keys = [(lane, price.effective_from) for price in model.prices for lane in price.lanes]
    _check_unique(keys, f"{place}.prices")
    for number, route in enumerate(model.routes):
        pairs = [(candidate.upstream, candidate.upstream_model) for candidate in route.candidates]
        _check_unique(pairs, f"{place}.routes.{number}.candidates")
        for candidate in route.candidates:
            _check_unique(candidate.surfaces, f"{place}.routes.{number}.candidates.surfaces")
    for number, price in enumerate(model.prices):
        moment = price.effective_from
        if moment is not None and moment.tzinfo is None:
            raise InvalidArgument(fields=f"{place}.prices.{number}.effective_from")
        check_tiers(price.price_tiers(), f"{place}.prices.{number}")
    if model.max_output_tokens > model.context_tokens:
        raise InvalidArgument(fields=f"{place}.max_output_tokens")


def _check_unique(values: Iterable[object], place: str) -> None:
    if any(count > 1 for count in Counter(values).values()):
        raise InvalidArgument(fields=place)


def describe(facts: BaseModel, names: Iterable[str]) -> str:
    """Return `name value, …` of some fields, for people to compare."""
    parts = []
    for name in names:
        value = getattr(facts, name)
        shown = "+".join(value) if isinstance(value, tuple) else str(value).lower()
        parts.append(f"{name} {shown or '-'}")
    return ", ".join(parts)

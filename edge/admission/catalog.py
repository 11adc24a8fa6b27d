"""The catalogue as this edge has it: names to models, lanes to routes and prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kit.charge import Price, PriceTier
from oneapi.admission.v1 import snapshot_pb2
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane

Kind = catalog_pb2.Model.Kind
Dialect = catalog_pb2.Upstream.Dialect
Status = catalog_pb2.EndpointState.Status
_ZERO_RETENTION: Final = int(DataPolicy.DATA_POLICY_ZERO_RETENTION)

LANE_NAMES: Final = {
    "default": Lane.LANE_DEFAULT,
    "economy": Lane.LANE_ECONOMY,
    "coding": Lane.LANE_CODING,
    "priority": Lane.LANE_PRIORITY,
    "opportunistic": Lane.LANE_OPPORTUNISTIC,
}
SERVICE_TIERS: Final = {
    "flex": Lane.LANE_ECONOMY,
    "priority": Lane.LANE_PRIORITY,
    "fast": Lane.LANE_PRIORITY,
}
"""The `service_tier` values that choose a lane."""
ENDPOINT_KINDS: Final[dict[int, int]] = {
    Endpoint.ENDPOINT_CHAT_COMPLETIONS: Kind.KIND_TEXT,
    Endpoint.ENDPOINT_RESPONSES: Kind.KIND_TEXT,
    Endpoint.ENDPOINT_COMPLETIONS: Kind.KIND_TEXT,
    Endpoint.ENDPOINT_EMBEDDINGS: Kind.KIND_EMBEDDING,
    Endpoint.ENDPOINT_MESSAGES: Kind.KIND_TEXT,
    Endpoint.ENDPOINT_GENERATE_CONTENT: Kind.KIND_TEXT,
    Endpoint.ENDPOINT_MODERATIONS: Kind.KIND_MODERATION,
    Endpoint.ENDPOINT_IMAGE_GENERATIONS: Kind.KIND_IMAGE,
    Endpoint.ENDPOINT_IMAGE_EDITS: Kind.KIND_IMAGE,
    Endpoint.ENDPOINT_AUDIO_SPEECH: Kind.KIND_SPEECH,
    Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS: Kind.KIND_TRANSCRIPTION,
    Endpoint.ENDPOINT_COUNT_TOKENS: Kind.KIND_TEXT,
}
"""The kind of models that each endpoint takes."""
CONVERSATIONS: Final = frozenset(
    {
        Endpoint.ENDPOINT_CHAT_COMPLETIONS,
        Endpoint.ENDPOINT_RESPONSES,
        Endpoint.ENDPOINT_MESSAGES,
        Endpoint.ENDPOINT_GENERATE_CONTENT,
    }
)
"""Endpoints that are translated into one another; any other needs an upstream that has it."""
_CHAT_ONLY: Final[frozenset[int]] = frozenset({Endpoint.ENDPOINT_CHAT_COMPLETIONS})
_DIALECT_SURFACES: Final[dict[int, frozenset[int]]] = {
    Dialect.DIALECT_OPENAI: _CHAT_ONLY,
    Dialect.DIALECT_ANTHROPIC: frozenset({Endpoint.ENDPOINT_MESSAGES}),
    Dialect.DIALECT_GOOGLE: frozenset({Endpoint.ENDPOINT_GENERATE_CONTENT}),
}
"""What an upstream of a dialect always has."""


@dataclass(frozen=True, slots=True)
class Model:
    """A public model and the limits that bound its usage."""

    number: int
    public_id: str
    names: frozenset[str]
    """The public id and the aliases."""
    maker: str
    max_output_tokens: int
    context_tokens: int
    input_overhead_tokens: int
    input_overhead_with_tools_tokens: int
    image_max_tokens: int
    audio_max_tokens: int
    file_max_tokens: int
    reasoning_beyond_limit_tokens: int
    enabled: bool
    created_at_seconds: int
    capabilities: tuple[str, ...]
    kind: int = Kind.KIND_TEXT


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider endpoint with the credential of its requests."""

    number: int
    name: str
    base_url: str
    dialect: int
    ends_with_terminal_frame: bool
    drains_on_disconnect: bool
    bills_refused: bool
    credential: bytes
    surfaces: frozenset[int] = _CHAT_ONLY
    """The endpoints that it serves itself."""
    data_policy: int = DataPolicy.DATA_POLICY_UNSPECIFIED

    def __repr__(self) -> str:
        """Name the upstream without its credential."""
        return f"Upstream({self.number})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream that can serve a route."""

    upstream: Upstream
    upstream_model: str
    weight: int
    priority: int
    first_byte_timeout_seconds: float
    idle_timeout_seconds: float
    max_running: int = 0
    surfaces: frozenset[int] = _CHAT_ONLY
    """The endpoints by which the upstream serves this model."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a route chooses among its candidates and waits for one that is full."""

    balance: int = catalog_pb2.RoutePolicy.BALANCE_WEIGHTED
    spare_only: bool = False
    queue_rank: int = 0
    queue_wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """The candidates of a model in a lane, by priority."""

    candidates: tuple[Candidate, ...]
    max_attempts: int
    policy: Policy = Policy()


class Catalog:
    """One version of the catalogue, immutable."""

    def __init__(self, snapshot: snapshot_pb2.CatalogSnapshot) -> None:
        """Index a snapshot by names and numbers."""
        self.version = snapshot.version
        self.models = {message.number: _model(message) for message in snapshot.models}
        self._names: dict[str, Model] = {}
        for message in snapshot.models:
            for name in (message.public_id, *message.aliases):
                self._names[name] = self.models[message.number]
        upstreams = {
            item.upstream.number: _upstream(item)
            for item in snapshot.upstreams
            if item.upstream.enabled
        }
        self._routes: dict[tuple[int, int], Route] = {
            (route.model_number, route.lane): _route(route, upstreams) for route in snapshot.routes
        }
        self._zero_retention_routes = {
            key: _zero_retention(route) for key, route in self._routes.items()
        }
        self._prices: dict[tuple[int, int], list[Price]] = {}
        for price in snapshot.prices:
            self._prices.setdefault((price.model_number, price.lane), []).append(_price(price))
        for versions in self._prices.values():
            versions.sort(key=lambda price: price.effective_from_micros)
        self._endpoints: dict[int, int] = {
            endpoint: self._can_be_served(endpoint) for endpoint in ENDPOINT_KINDS
        } | {state.endpoint: state.status for state in snapshot.endpoints if state.status}

    def named(self, name: str) -> Model | None:
        """Return the enabled model of a public id or alias."""
        model = self._names.get(name)
        return model if model is not None and model.enabled else None

    def route(self, model: Model, lane: int) -> Route | None:
        """Return the route of a model in a lane, if an upstream can serve it."""
        route = self._routes.get((model.number, lane))
        return route if route is not None and route.candidates else None

    def zero_retention_route(self, model: Model, lane: int) -> Route | None:
        """Return the route with only those upstreams that keep nothing; None without any."""
        route = self._zero_retention_routes.get((model.number, lane))
        return route if route is not None and route.candidates else None

    def data_policies(self, model: Model) -> list[int]:
        """Return the classes of the upstreams that can serve a model in any lane, worst first."""
        routes = (self.route(model, lane) for lane in LANE_NAMES.values())
        return sorted(
            {item.upstream.data_policy for route in routes if route for item in route.candidates}
        )

    def price(self, model: Model, lane: int, at_micros: int) -> Price | None:
        """Return the price version in force at a time, None where there is none."""
        found = None
        for price in self._prices.get((model.number, lane), ()):
            if price.effective_from_micros <= at_micros:
                found = price
        return found

    def endpoint_state(self, endpoint: int) -> int:
        """Return whether an endpoint can be used, as an `EndpointState.Status`.

        What the operator states; else ready if any model can be served there, else not available.
        """
        return self._endpoints.get(endpoint, Status.STATUS_NOT_AVAILABLE)

    def _can_be_served(self, endpoint: int) -> int:
        for (model_number, lane), route in self._routes.items():
            model = self.models.get(model_number)
            if (
                model is not None
                and model.enabled
                and model.kind == ENDPOINT_KINDS[endpoint]
                and (model_number, lane) in self._prices
                and any(can_serve(candidate, endpoint) for candidate in route.candidates)
            ):
                return Status.STATUS_READY
        return Status.STATUS_NOT_AVAILABLE

    def servable(self, at_micros: int, *, zero_retention: bool = False) -> list[Model]:
        """Return the models that can be served and priced in some lane, by public id.

        With `zero_retention` those that upstreams serve that keep nothing.
        """
        lanes = LANE_NAMES.values()
        routed = self.zero_retention_route if zero_retention else self.route
        models = [
            model
            for model in self.models.values()
            if model.enabled
            and any(routed(model, lane) and self.price(model, lane, at_micros) for lane in lanes)
        ]
        return sorted(models, key=lambda model: model.public_id)


def can_serve(candidate: Candidate, endpoint: int) -> bool:
    """Say whether a candidate has an endpoint itself or by translation."""
    return endpoint in candidate.surfaces or (
        endpoint in CONVERSATIONS and not CONVERSATIONS.isdisjoint(candidate.surfaces)
    )


EMPTY: Final = Catalog(snapshot_pb2.CatalogSnapshot())


def _model(message: catalog_pb2.Model) -> Model:
    return Model(
        number=message.number,
        public_id=message.public_id,
        names=frozenset((message.public_id, *message.aliases)),
        maker=message.maker,
        max_output_tokens=message.max_output_tokens,
        context_tokens=message.context_tokens,
        input_overhead_tokens=message.input_overhead_tokens,
        input_overhead_with_tools_tokens=message.input_overhead_with_tools_tokens,
        image_max_tokens=message.image_max_tokens,
        audio_max_tokens=message.audio_max_tokens,
        file_max_tokens=message.file_max_tokens,
        reasoning_beyond_limit_tokens=message.reasoning_beyond_limit_tokens,
        enabled=message.enabled,
        created_at_seconds=message.created_at.seconds,
        capabilities=tuple(message.capabilities),
        kind=message.kind or Kind.KIND_TEXT,
    )


def _upstream(item: snapshot_pb2.SnapshotUpstream) -> Upstream:
    message = item.upstream
    return Upstream(
        number=message.number,
        name=message.name,
        base_url=message.base_url,
        dialect=message.dialect,
        ends_with_terminal_frame=message.stream_end != catalog_pb2.Upstream.STREAM_END_EOF,
        drains_on_disconnect=(
            message.disconnect_policy == catalog_pb2.Upstream.DISCONNECT_POLICY_DRAIN
        ),
        bills_refused=message.bills_refused,
        credential=item.credential,
        surfaces=(
            frozenset(message.surfaces) or _DIALECT_SURFACES.get(message.dialect, _CHAT_ONLY)
        ),
        data_policy=message.data_policy,
    )


def _route(message: catalog_pb2.Route, upstreams: dict[int, Upstream]) -> Route:
    candidates = [
        Candidate(
            upstream=upstreams[item.upstream_number],
            upstream_model=item.upstream_model,
            weight=item.weight,
            priority=item.priority,
            first_byte_timeout_seconds=item.first_byte_timeout_ms / 1000,
            idle_timeout_seconds=item.idle_timeout_ms / 1000,
            max_running=item.max_running,
            surfaces=_surfaces(item, upstreams[item.upstream_number]),
        )
        for item in message.candidates
        if item.upstream_number in upstreams
    ]
    candidates.sort(key=lambda candidate: candidate.priority)
    policy = Policy(
        balance=message.policy.balance,
        spare_only=message.policy.spare_only,
        queue_rank=message.policy.queue_rank,
        queue_wait_seconds=message.policy.queue_wait_ms / 1000,
    )
    return Route(tuple(candidates), message.max_attempts, policy)


def _zero_retention(route: Route) -> Route:
    kept = tuple(item for item in route.candidates if item.upstream.data_policy == _ZERO_RETENTION)
    return replace(route, candidates=kept)


def _surfaces(item: catalog_pb2.RouteCandidate, upstream: Upstream) -> frozenset[int]:
    return upstream.surfaces & frozenset(item.surfaces) if item.surfaces else upstream.surfaces


def _price(message: catalog_pb2.PriceVersion) -> Price:
    return Price(
        number=message.number,
        model_number=message.model_number,
        lane=message.lane,
        effective_from_micros=message.effective_from.ToMicroseconds(),
        tiers=tuple(
            PriceTier(
                tier.above_context_tokens,
                (
                    tier.input,
                    tier.cached_input,
                    tier.cache_write,
                    tier.cache_write_long,
                    tier.output,
                    tier.reasoning,
                    tier.audio_input,
                    tier.audio_output,
                    tier.image_input,
                    tier.image_output,
                    tier.requests,
                    tier.tool_calls,
                ),
            )
            for tier in message.tiers
        ),
    )

"""The catalogue between messages and our own types, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.catalog.diff import ChangeLine
from core.catalog.model import (
    BALANCES,
    DATA_POLICIES,
    DIALECTS,
    DISCONNECT_POLICIES,
    KINDS,
    STATUSES,
    STREAM_ENDS,
    Catalog,
    EndpointFacts,
    EndpointName,
    Route,
    StoredModel,
    StoredPrice,
    StoredUpstream,
    endpoint_number,
    lane_number,
)
from core.catalog.sealing import CannotOpen, Sealer
from core.timestamps import to_timestamp
from kit.charge import Dimension, PriceTier
from oneapi.admission.v1 import snapshot_pb2
from oneapi.catalog.v1 import catalog_pb2 as pb
from oneapi.catalog.v1 import catalog_service_pb2
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane


def model_message(model: StoredModel) -> pb.Model:
    """Render a model."""
    facts = model.facts
    return pb.Model(
        number=model.number,
        public_id=facts.public_id,
        display_name=facts.display_name,
        maker=facts.maker,
        context_tokens=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
        input_overhead_tokens=facts.input_overhead_tokens,
        input_overhead_with_tools_tokens=facts.input_overhead_with_tools_tokens,
        image_max_tokens=facts.image_max_tokens,
        audio_max_tokens=facts.audio_max_tokens,
        file_max_tokens=facts.file_max_tokens,
        reasoning_beyond_limit_tokens=facts.reasoning_beyond_limit_tokens,
        tool_calls_max=facts.tool_calls_max,
        tool_call_max_tokens=facts.tool_call_max_tokens,
        enabled=facts.enabled,
        created_at=to_timestamp(model.created_at),
        aliases=facts.aliases,
        capabilities=facts.capabilities,
        kind=pb.Model.Kind.ValueType(KINDS.index(facts.kind) + 1),
    )


def upstream_message(upstream: StoredUpstream) -> pb.Upstream:
    """Render an upstream without its credential."""
    facts = upstream.facts
    return pb.Upstream(
        number=upstream.number,
        name=facts.name,
        base_url=facts.base_url,
        dialect=pb.Upstream.Dialect.ValueType(DIALECTS.index(facts.dialect) + 1),
        stream_end=pb.Upstream.StreamEnd.ValueType(STREAM_ENDS.index(facts.stream_end) + 1),
        disconnect_policy=pb.Upstream.DisconnectPolicy.ValueType(
            DISCONNECT_POLICIES.index(facts.disconnect_policy) + 1
        ),
        bills_refused=facts.bills_refused,
        enabled=upstream.enabled,
        has_credential=upstream.credential_sealed is not None,
        surfaces=_surfaces(facts.surfaces),
        data_policy=DataPolicy.ValueType(DATA_POLICIES.index(facts.data_policy)),
    )


def price_message(price: StoredPrice) -> pb.PriceVersion:
    """Render a price version."""
    return pb.PriceVersion(
        number=price.number,
        model_number=price.model_number,
        lane=Lane.ValueType(lane_number(price.lane)),
        effective_from=to_timestamp(price.effective_from),
        tiers=map(tier_message, price.tiers),
        public_id=price.public_id,
    )


def tier_message(tier: PriceTier) -> pb.PriceTier:
    """Render a price tier."""
    rates = {dimension.name.lower(): tier.rates[dimension] for dimension in Dimension}
    return pb.PriceTier(above_context_tokens=tier.above_context_tokens, **rates)


def parse_tier(message: pb.PriceTier) -> PriceTier:
    """Read a price tier as it is: an unset rate is zero."""
    rates = tuple(getattr(message, dimension.name.lower()) for dimension in Dimension)
    return PriceTier(message.above_context_tokens, rates)


def endpoint_message(state: EndpointFacts) -> pb.EndpointState:
    """Render what is stated of an endpoint."""
    return pb.EndpointState(
        endpoint=Endpoint.ValueType(endpoint_number(state.endpoint)),
        status=pb.EndpointState.Status.ValueType(STATUSES.index(state.status) + 1),
        note=state.note,
    )


def change_message(line: ChangeLine) -> catalog_service_pb2.CatalogChange:
    """Render a line of a comparison."""
    return catalog_service_pb2.CatalogChange(
        kind=line.kind, name=line.name, before=line.before, after=line.after
    )


def snapshot_message(
    catalog: Catalog, version: int, sealer: Sealer
) -> snapshot_pb2.CatalogSnapshot:
    """Render the whole catalogue for edges, with opened credentials."""
    return snapshot_pb2.CatalogSnapshot(
        version=version,
        models=map(model_message, catalog.models.values()),
        upstreams=(_snapshot_upstream(item, sealer) for item in catalog.upstreams.values()),
        routes=route_messages(catalog.models.values(), catalog.upstreams),
        prices=(price_message(price) for found in catalog.prices.values() for price in found),
        endpoints=map(endpoint_message, catalog.endpoints),
    )


def _snapshot_upstream(upstream: StoredUpstream, sealer: Sealer) -> snapshot_pb2.SnapshotUpstream:
    message = upstream_message(upstream)
    credential = b""
    if upstream.credential_sealed is not None:
        try:
            credential = sealer.open(upstream.facts.name, upstream.credential_sealed)
        except CannotOpen:
            # An edge without the credential could only fail: the upstream is off for it.
            message.enabled = False
    return snapshot_pb2.SnapshotUpstream(upstream=message, credential=credential)


def _surfaces(names: Iterable[EndpointName]) -> Iterable[Endpoint.ValueType]:
    return (Endpoint.ValueType(endpoint_number(name)) for name in names)


def route_messages(
    models: Iterable[StoredModel], upstreams: Mapping[str, StoredUpstream]
) -> Iterable[pb.Route]:
    """Render the routes of models; candidates name upstreams by their numbers."""
    numbers = {name: upstream.number for name, upstream in upstreams.items()}
    return (
        _route_message(model.number, route, numbers) for model in models for route in model.routes
    )


def _route_message(model_number: int, route: Route, numbers: dict[str, int]) -> pb.Route:
    candidates = (
        pb.RouteCandidate(
            upstream_number=numbers[candidate.upstream],
            upstream_model=candidate.upstream_model,
            weight=candidate.weight,
            priority=candidate.priority,
            first_byte_timeout_ms=candidate.first_byte_timeout_ms,
            idle_timeout_ms=candidate.idle_timeout_ms,
            max_running=candidate.max_running,
            surfaces=_surfaces(candidate.surfaces),
        )
        for candidate in route.candidates
    )
    return pb.Route(
        model_number=model_number,
        lane=Lane.ValueType(lane_number(route.lane)),
        candidates=candidates,
        max_attempts=route.max_attempts,
        policy=pb.RoutePolicy(
            balance=pb.RoutePolicy.Balance.ValueType(BALANCES.index(route.policy.balance) + 1),
            spare_only=route.policy.spare_only,
            queue_rank=route.policy.queue_rank,
            queue_wait_ms=route.policy.queue_wait_ms,
        ),
    )

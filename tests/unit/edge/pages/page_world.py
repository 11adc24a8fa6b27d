"""A small catalogue for pages: two makers, prices of several kinds, a name that must be escaped."""

from __future__ import annotations

from edge.admission.catalog import LANE_NAMES, Catalog
from oneapi.admission.v1 import snapshot_pb2
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane

SECOND = 1_000_000
HOSTILE = "<script>alert('1')</script> & \"co\""
Kind = catalog_pb2.Model.Kind
State = catalog_pb2.EndpointState


def small_snapshot(version: int = 1) -> snapshot_pb2.CatalogSnapshot:
    """Return `demo` in all lanes, `maker/tiered` in two with tiers, a free moderation model."""
    found = snapshot_pb2.CatalogSnapshot(version=version)
    upstream = found.upstreams.add().upstream
    upstream.number, upstream.name, upstream.enabled = 1, "one", True
    upstream.data_policy = DataPolicy.DATA_POLICY_ZERO_RETENTION
    upstream.surfaces.extend([Endpoint.ENDPOINT_CHAT_COMPLETIONS, Endpoint.ENDPOINT_MODERATIONS])
    _model(found, 1, "demo", "1api", HOSTILE, ["tools", "image_input"], ["demo-latest"])
    _model(found, 2, "maker/tiered", "maker", "Tiered", [], [])
    _model(found, 3, "watch", "maker", "Watch", [], [], Kind.KIND_MODERATION)
    for lane in LANE_NAMES.values():
        _price(found, 1, lane, [{"input": 2_500_000_000, "output": 10_000_000_000}])
        _route(found, 1, lane)
    for lane in (Lane.LANE_DEFAULT, Lane.LANE_ECONOMY):
        rates = {"input": 75_000_001, "output": 300_000_000, "image_output": 7_000_000_000}
        _price(found, 2, lane, [rates, {"above_context_tokens": 200_000, **rates, "input": 1}])
        _route(found, 2, lane)
    _price(found, 3, Lane.LANE_DEFAULT, [{}])
    _route(found, 3, Lane.LANE_DEFAULT)
    return found


def small_catalog() -> Catalog:
    """Return the catalogue of the snapshot."""
    return Catalog(small_snapshot())


def add_price(
    found: snapshot_pb2.CatalogSnapshot, model: int, begins_at_micros: int, input_nanos: int
) -> None:
    """Let a model cost something else from an instant on, in the default lane."""
    price = _price(found, model, Lane.LANE_DEFAULT, [{"input": input_nanos, "output": 1}])
    price.effective_from.FromMicroseconds(begins_at_micros)


def _model(
    found: snapshot_pb2.CatalogSnapshot,
    number: int,
    public_id: str,
    maker: str,
    name: str,
    capabilities: list[str],
    aliases: list[str],
    kind: catalog_pb2.Model.Kind.ValueType = Kind.KIND_TEXT,
) -> None:
    found.models.add(
        number=number,
        public_id=public_id,
        maker=maker,
        display_name=name,
        capabilities=capabilities,
        aliases=aliases,
        kind=kind,
        context_tokens=128_000,
        max_output_tokens=4_096,
        enabled=True,
    )


def _price(
    found: snapshot_pb2.CatalogSnapshot,
    model: int,
    lane: Lane.ValueType,
    tiers: list[dict[str, int]],
) -> catalog_pb2.PriceVersion:
    number = len(found.prices) + 1
    price = found.prices.add(number=number, model_number=model, lane=lane)
    for rates in tiers:
        filled = {
            "cached_input": rates.get("input", 0),
            "cache_write": rates.get("input", 0),
            "cache_write_long": rates.get("input", 0),
            "audio_input": rates.get("input", 0),
            "image_input": rates.get("input", 0),
            "reasoning": rates.get("output", 0),
            "audio_output": rates.get("output", 0),
            "image_output": rates.get("output", 0),
        }
        price.tiers.add(**{**filled, **rates})
    return price


def _route(found: snapshot_pb2.CatalogSnapshot, model: int, lane: Lane.ValueType) -> None:
    route = found.routes.add(model_number=model, lane=lane, max_attempts=1)
    route.candidates.add(upstream_number=1, upstream_model="m", weight=1)

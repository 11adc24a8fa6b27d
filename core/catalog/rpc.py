"""CatalogService: parse, call, render."""

from __future__ import annotations

from typing import Any

from core.audit import Act
from core.catalog import service, store
from core.catalog.messages import (
    change_message,
    endpoint_message,
    model_message,
    parse_tier,
    price_message,
    route_messages,
    upstream_message,
)
from core.catalog.model import LANES, lane_name
from core.catalog.service import Upstreams
from core.db.database import Pool
from core.db.paging import int_token, page_size, parse_int_token, split_page
from core.feed.busy_counter import repeat_while_busy
from core.timestamps import from_timestamp
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.reasons import InvalidArgument, NotFound
from kit.rpc.server import Service
from oneapi.catalog.v1 import catalog_service_pb2 as pb
from oneapi.catalog.v1 import catalog_service_pb2_grpc

NAME = "oneapi.catalog.v1.CatalogService"
_OPERATOR = frozenset({"operator"})
_READERS = frozenset({"operator", "finance"})
ALLOWED = {
    "ListModels": _READERS,
    "ListPrices": _READERS,
    "ListUpstreams": _READERS,
    "ListRoutes": _READERS,
    "ListEndpointStates": _READERS,
    "PublishPrice": _OPERATOR,
    "ImportCatalog": _OPERATOR,
}
_FIRST_PRICE = 2**31 - 1


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Serves the catalogue to operators."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, upstreams: Upstreams) -> None:
        """Work on the pool's database, with this installation's upstreams."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._upstreams = upstreams

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        """List models by public id."""
        size = page_size(request.page_size)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_models(tx, after=request.page_token, limit=size + 1)
        page, token = split_page(rows, size, lambda row: row.facts.public_id)
        return pb.ListModelsResponse(models=map(model_message, page), next_page_token=token)

    async def ListPrices(
        self, request: pb.ListPricesRequest, context: Any
    ) -> pb.ListPricesResponse:
        """List price versions, newest first."""
        size = page_size(request.page_size)
        before = parse_int_token(request.page_token, _FIRST_PRICE)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_prices(
                tx, public_id=request.public_id, before=before, limit=size + 1
            )
        page, token = split_page(rows, size, lambda row: int_token(row.number))
        return pb.ListPricesResponse(prices=map(price_message, page), next_page_token=token)

    @repeat_while_busy
    async def PublishPrice(
        self, request: pb.PublishPriceRequest, context: Any
    ) -> pb.PublishPriceResponse:
        """Publish a price version that starts now or later."""
        if request.lane not in range(1, len(LANES) + 1):
            raise InvalidArgument(fields="lane")
        begins = request.effective_from if request.HasField("effective_from") else None
        async with self._pool.transaction("system") as tx:
            price = await service.publish_price(
                tx,
                self._act(),
                request_id=request.request_id,
                public_id=request.public_id,
                lane=lane_name(request.lane),
                effective_from=None if begins is None else from_timestamp(begins),
                tiers=tuple(map(parse_tier, request.tiers)),
            )
            await tx.commit()
        return pb.PublishPriceResponse(price=price_message(price))

    async def ListUpstreams(
        self, request: pb.ListUpstreamsRequest, context: Any
    ) -> pb.ListUpstreamsResponse:
        """List upstreams without their credentials."""
        async with self._pool.transaction("system") as tx:
            upstreams = await store.list_upstreams(tx)
        return pb.ListUpstreamsResponse(upstreams=map(upstream_message, upstreams))

    async def ListRoutes(
        self, request: pb.ListRoutesRequest, context: Any
    ) -> pb.ListRoutesResponse:
        """List the routes of one model."""
        async with self._pool.transaction("system") as tx:
            catalog = await store.read_catalog(tx, now(self._clock))
        model = catalog.models.get(request.public_id)
        if model is None:
            raise NotFound(model=request.public_id)
        return pb.ListRoutesResponse(routes=route_messages([model], catalog.upstreams))

    async def ListEndpointStates(
        self, request: pb.ListEndpointStatesRequest, context: Any
    ) -> pb.ListEndpointStatesResponse:
        """List what operators state of endpoints."""
        async with self._pool.transaction("system") as tx:
            states = await store.list_endpoints(tx)
        return pb.ListEndpointStatesResponse(states=map(endpoint_message, states))

    @repeat_while_busy
    async def ImportCatalog(
        self, request: pb.ImportCatalogRequest, context: Any
    ) -> pb.ImportCatalogResponse:
        """Say what an import would change, or import in one transaction."""
        async with self._pool.transaction("system") as tx:
            lines = await service.import_catalog(
                tx, self._act(), self._upstreams, request.document, dry_run=request.dry_run
            )
            if not request.dry_run:
                await tx.commit()
        return pb.ImportCatalogResponse(
            changes=map(change_message, lines), applied=not request.dry_run
        )

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)


def catalog_service(pool: Pool, clock: Clock, ids: IdSource, upstreams: Upstreams) -> Service:
    """Return the service for the server."""
    add = catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server
    return Service(NAME, add, CatalogServicer(pool, clock, ids, upstreams), ALLOWED)

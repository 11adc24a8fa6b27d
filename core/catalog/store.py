"""All SQL of the catalogue. Writes are set-based: one statement a table, rows as one JSON value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb
from sqlalchemy import Row

from core.catalog.diff import NewPrice
from core.catalog.model import (
    BALANCES,
    DATA_POLICIES,
    DIALECTS,
    DISCONNECT_POLICIES,
    ENDPOINTS,
    KINDS,
    STATUSES,
    STREAM_ENDS,
    Candidate,
    Catalog,
    EndpointFacts,
    EndpointName,
    LaneName,
    ModelFacts,
    Policy,
    Route,
    StoredModel,
    StoredPrice,
    StoredUpstream,
    UpstreamFacts,
    endpoint_number,
    lane_name,
    lane_number,
)
from core.db.database import Transaction
from kit.charge import PriceTier

# Held until the commit: two imports at the same time would compare with the same past.
_LOCK: Final = "LOCK TABLE model IN SHARE ROW EXCLUSIVE MODE"

_MODELS: Final = """
SELECT m.*, coalesce(array_agg(a.alias ORDER BY a.alias) FILTER (WHERE a.alias IS NOT NULL),
                     ARRAY[]::text[]) AS aliases
  FROM model AS m LEFT JOIN model_alias AS a ON a.model_number = m.number
 WHERE m.public_id COLLATE "C" > :after
 GROUP BY m.number ORDER BY m.public_id COLLATE "C" LIMIT :limit
"""
_UPSTREAMS: Final = "SELECT * FROM upstream ORDER BY number"
_ROUTES: Final = """
SELECT c.*, r.max_attempts, r.balance, r.spare_only, r.queue_rank, r.queue_wait_ms,
       u.name AS upstream
  FROM route_candidate AS c
  JOIN route AS r USING (model_number, lane)
  JOIN upstream AS u ON u.number = c.upstream_number
 ORDER BY c.model_number, c.lane, c.priority, u.name, c.upstream_model
"""
_PRICES_SELECT: Final = """
SELECT v.number, v.model_number, v.lane, v.effective_from, m.public_id,
       (SELECT jsonb_agg(jsonb_build_array(t.above_context_tokens, t.rates)
                         ORDER BY t.above_context_tokens)
          FROM price_tier AS t WHERE t.price_version = v.number) AS tiers
  FROM price_version AS v JOIN model AS m ON m.number = v.model_number
"""
_CURRENT_PRICES: Final = f"""
{_PRICES_SELECT}
 WHERE v.effective_from > :now OR NOT EXISTS (
       SELECT 1 FROM price_version AS w
        WHERE w.model_number = v.model_number AND w.lane = v.lane
          AND w.effective_from <= :now AND w.effective_from > v.effective_from)
 ORDER BY v.model_number, v.lane, v.effective_from
"""  # noqa: S608 constant columns
_LIST_PRICES: Final = f"""
{_PRICES_SELECT}
 WHERE v.number < :before AND (:public_id = '' OR m.public_id = :public_id)
 ORDER BY v.number DESC LIMIT :limit
"""
_PRICE: Final = f"{_PRICES_SELECT} WHERE v.number = :number"

_PUT_MODELS: Final = """
INSERT INTO model (public_id, display_name, maker, context_tokens, max_output_tokens,
    input_overhead_tokens, input_overhead_with_tools_tokens, image_max_tokens, audio_max_tokens,
    file_max_tokens, reasoning_beyond_limit_tokens, tool_calls_max, tool_call_max_tokens,
    capabilities, enabled, kind, created_at)
SELECT r.public_id, r.display_name, r.maker, r.context_tokens, r.max_output_tokens,
    r.input_overhead_tokens, r.input_overhead_with_tools_tokens, r.image_max_tokens,
    r.audio_max_tokens, r.file_max_tokens, r.reasoning_beyond_limit_tokens, r.tool_calls_max,
    r.tool_call_max_tokens, r.capabilities, r.enabled, r.kind, :now
  FROM jsonb_to_recordset(:rows) AS r(public_id text, display_name text, maker text,
    context_tokens bigint, max_output_tokens bigint, input_overhead_tokens bigint,
    input_overhead_with_tools_tokens bigint, image_max_tokens bigint, audio_max_tokens bigint,
    file_max_tokens bigint, reasoning_beyond_limit_tokens bigint, tool_calls_max integer,
    tool_call_max_tokens bigint, capabilities text[],
    enabled boolean, kind smallint)
ON CONFLICT (public_id) DO UPDATE SET display_name = excluded.display_name,
    maker = excluded.maker, context_tokens = excluded.context_tokens,
    max_output_tokens = excluded.max_output_tokens,
    input_overhead_tokens = excluded.input_overhead_tokens,
    input_overhead_with_tools_tokens = excluded.input_overhead_with_tools_tokens,
    image_max_tokens = excluded.image_max_tokens, audio_max_tokens = excluded.audio_max_tokens,
    file_max_tokens = excluded.file_max_tokens,
    reasoning_beyond_limit_tokens = excluded.reasoning_beyond_limit_tokens,
    tool_calls_max = excluded.tool_calls_max,
    tool_call_max_tokens = excluded.tool_call_max_tokens,
    capabilities = excluded.capabilities, enabled = excluded.enabled, kind = excluded.kind
"""
_DROP_ALIASES: Final = """
DELETE FROM model_alias USING model AS m
 WHERE m.number = model_alias.model_number AND m.public_id = ANY(:public_ids)
"""
_PUT_ALIASES: Final = """
INSERT INTO model_alias (alias, model_number)
SELECT r.alias, m.number
  FROM jsonb_to_recordset(:rows) AS r(alias text, public_id text) JOIN model AS m USING (public_id)
"""
_PUT_UPSTREAMS: Final = """
INSERT INTO upstream (name, base_url, dialect, stream_end, disconnect_policy, bills_refused,
    surfaces, data_policy, enabled, created_at)
SELECT r.name, r.base_url, r.dialect, r.stream_end, r.disconnect_policy, r.bills_refused,
    r.surfaces, r.data_policy, false, :now
  FROM jsonb_to_recordset(:rows) AS r(name text, base_url text, dialect smallint,
    stream_end smallint, disconnect_policy smallint, bills_refused boolean,
    surfaces smallint[], data_policy smallint)
ON CONFLICT (name) DO UPDATE SET base_url = excluded.base_url, dialect = excluded.dialect,
    stream_end = excluded.stream_end, disconnect_policy = excluded.disconnect_policy,
    bills_refused = excluded.bills_refused, surfaces = excluded.surfaces,
    data_policy = excluded.data_policy
"""
_SET_CREDENTIAL: Final = """
UPDATE upstream SET credential_sealed = :sealed, enabled = :enabled WHERE name = :name
"""
_DROP_ROUTES: Final = """
DELETE FROM route USING model AS m
 WHERE m.number = route.model_number AND m.public_id = ANY(:public_ids)
"""
_PUT_ROUTES: Final = """
INSERT INTO route (model_number, lane, max_attempts, balance, spare_only, queue_rank,
    queue_wait_ms)
SELECT m.number, r.lane, r.max_attempts, r.balance, r.spare_only, r.queue_rank, r.queue_wait_ms
  FROM jsonb_to_recordset(:rows) AS r(public_id text, lane smallint, max_attempts smallint,
    balance smallint, spare_only boolean, queue_rank smallint, queue_wait_ms integer)
  JOIN model AS m USING (public_id)
"""
_PUT_CANDIDATES: Final = """
INSERT INTO route_candidate (model_number, lane, upstream_number, upstream_model, weight,
    priority, first_byte_timeout_ms, idle_timeout_ms, max_running, surfaces)
SELECT m.number, r.lane, u.number, r.upstream_model, r.weight, r.priority,
    r.first_byte_timeout_ms, r.idle_timeout_ms, r.max_running, r.surfaces
  FROM jsonb_to_recordset(:rows) AS r(public_id text, lane smallint, upstream text,
    upstream_model text, weight integer, priority integer, first_byte_timeout_ms integer,
    idle_timeout_ms integer, max_running integer, surfaces smallint[])
  JOIN model AS m USING (public_id) JOIN upstream AS u ON u.name = r.upstream
"""
_NEXT_PRICES: Final = """
SELECT nextval(pg_get_serial_sequence('price_version', 'number')) AS number
  FROM generate_series(1, :count)
"""
_PUT_PRICES: Final = """
INSERT INTO price_version (number, model_number, lane, effective_from, created_at)
OVERRIDING SYSTEM VALUE
SELECT r.number, m.number, r.lane, r.effective_from, :now
  FROM jsonb_to_recordset(:rows) AS r(number integer, public_id text, lane smallint,
    effective_from timestamptz)
  JOIN model AS m USING (public_id)
"""
_PUT_TIERS: Final = """
INSERT INTO price_tier (price_version, above_context_tokens, rates)
SELECT r.price_version, r.above_context_tokens, r.rates
  FROM jsonb_to_recordset(:rows) AS r(price_version integer, above_context_tokens bigint,
    rates bigint[])
"""
_ENDPOINTS: Final = "SELECT endpoint, status, note FROM endpoint_state ORDER BY endpoint"
_DROP_ENDPOINTS: Final = "DELETE FROM endpoint_state"
_PUT_ENDPOINTS: Final = """
INSERT INTO endpoint_state (endpoint, status, note)
SELECT r.endpoint, r.status, r.note
  FROM jsonb_to_recordset(:rows) AS r(endpoint smallint, status smallint, note text)
"""
_ALL: Final = 2**31 - 1
_MODEL_COLUMNS: Final = tuple(
    name for name in ModelFacts.model_fields if name not in {"aliases", "capabilities", "kind"}
)


async def lock_catalog(tx: Transaction) -> None:
    """Keep others from changing the catalogue until the end of the transaction."""
    await tx.run(_LOCK)


async def read_catalog(tx: Transaction, now: datetime) -> Catalog:
    """Return the catalogue with the prices in force at `now` and those to come."""
    models = await list_models(tx, after="", limit=_ALL)
    routes = await _routes(tx)
    prices: dict[tuple[str, LaneName], list[StoredPrice]] = defaultdict(list)
    for row in await tx.all(_CURRENT_PRICES, now=now):
        price = _price(row)
        prices[price.public_id, price.lane].append(price)
    return Catalog(
        models={
            model.facts.public_id: model.model_copy(update={"routes": routes.get(model.number, ())})
            for model in models
        },
        upstreams={upstream.facts.name: upstream for upstream in await list_upstreams(tx)},
        prices={key: tuple(found) for key, found in prices.items()},
        endpoints=await list_endpoints(tx),
    )


async def list_models(tx: Transaction, *, after: str, limit: int) -> list[StoredModel]:
    """Return models by public id, without their routes."""
    return [_model(row) for row in await tx.all(_MODELS, after=after, limit=limit)]


async def list_upstreams(tx: Transaction) -> list[StoredUpstream]:
    """Return all upstreams by number."""
    return [_upstream(row) for row in await tx.all(_UPSTREAMS)]


async def list_endpoints(tx: Transaction) -> tuple[EndpointFacts, ...]:
    """Return what is stated of endpoints, in their order."""
    return tuple(
        EndpointFacts(
            endpoint=ENDPOINTS[row.endpoint - 1], status=STATUSES[row.status - 1], note=row.note
        )
        for row in await tx.all(_ENDPOINTS)
    )


async def list_prices(
    tx: Transaction, *, public_id: str, before: int, limit: int
) -> list[StoredPrice]:
    """Return price versions with numbers below `before`, newest first; of one model if named."""
    rows = await tx.all(_LIST_PRICES, public_id=public_id, before=before, limit=limit)
    return [_price(row) for row in rows]


async def get_price(tx: Transaction, number: int) -> StoredPrice | None:
    """Return one price version."""
    row = await tx.one(_PRICE, number=number)
    return None if row is None else _price(row)


async def put_models(tx: Transaction, models: Sequence[ModelFacts], now: datetime) -> None:
    """Insert or change models, without their aliases."""
    rows = [
        model.model_dump(mode="json", exclude={"aliases"}) | {"kind": KINDS.index(model.kind) + 1}
        for model in models
    ]
    await _put(tx, _PUT_MODELS, rows, now=now)


async def put_aliases(tx: Transaction, aliases: dict[str, tuple[str, ...]]) -> None:
    """Replace the aliases of models."""
    if aliases:
        await tx.run(_DROP_ALIASES, public_ids=list(aliases))
    rows = [
        {"alias": alias, "public_id": public_id}
        for public_id, names in aliases.items()
        for alias in names
    ]
    await _put(tx, _PUT_ALIASES, rows)


async def put_upstreams(tx: Transaction, upstreams: Sequence[UpstreamFacts], now: datetime) -> None:
    """Insert or change upstreams; a new one is off until it has a credential."""
    rows: list[dict[str, object]] = [
        {
            **facts.model_dump(),
            "dialect": DIALECTS.index(facts.dialect) + 1,
            "stream_end": STREAM_ENDS.index(facts.stream_end) + 1,
            "disconnect_policy": DISCONNECT_POLICIES.index(facts.disconnect_policy) + 1,
            "surfaces": [endpoint_number(name) for name in facts.surfaces],
            "data_policy": DATA_POLICIES.index(facts.data_policy),
        }
        for facts in upstreams
    ]
    await _put(tx, _PUT_UPSTREAMS, rows, now=now)


async def set_credential(tx: Transaction, name: str, sealed: bytes | None) -> None:
    """Give an upstream its sealed credential, which turns it on, or take it away."""
    await tx.run(_SET_CREDENTIAL, name=name, sealed=sealed, enabled=sealed is not None)


async def put_routes(tx: Transaction, routes: dict[str, tuple[Route, ...]]) -> None:
    """Replace the routes of models."""
    if routes:
        await tx.run(_DROP_ROUTES, public_ids=list(routes))
    flat = [(public_id, route) for public_id, found in routes.items() for route in found]
    heads = [
        {
            "public_id": public_id,
            "lane": lane_number(route.lane),
            "max_attempts": route.max_attempts,
            **route.policy.model_dump(),
            "balance": BALANCES.index(route.policy.balance) + 1,
        }
        for public_id, route in flat
    ]
    candidates = [
        {
            "public_id": public_id,
            "lane": lane_number(route.lane),
            **candidate.model_dump(),
            "surfaces": [endpoint_number(name) for name in candidate.surfaces],
        }
        for public_id, route in flat
        for candidate in route.candidates
    ]
    await _put(tx, _PUT_ROUTES, heads)
    await _put(tx, _PUT_CANDIDATES, candidates)


async def put_endpoints(tx: Transaction, states: Sequence[EndpointFacts]) -> None:
    """Replace what is stated of endpoints."""
    await tx.run(_DROP_ENDPOINTS)
    rows = [
        {
            "endpoint": endpoint_number(state.endpoint),
            "status": STATUSES.index(state.status) + 1,
            "note": state.note,
        }
        for state in states
    ]
    await _put(tx, _PUT_ENDPOINTS, rows)


async def next_price_numbers(tx: Transaction, count: int) -> list[int]:
    """Take numbers for new price versions, ascending."""
    return sorted(row.number for row in await tx.all(_NEXT_PRICES, count=count))


async def put_prices(
    tx: Transaction, prices: Sequence[tuple[int, NewPrice]], now: datetime
) -> None:
    """Insert price versions under numbers that were taken for them."""
    heads = [
        {
            "number": number,
            "public_id": price.public_id,
            "lane": lane_number(price.lane),
            "effective_from": price.effective_from.isoformat(),
        }
        for number, price in prices
    ]
    tiers = [
        {
            "price_version": number,
            "above_context_tokens": tier.above_context_tokens,
            "rates": list(tier.rates),
        }
        for number, price in prices
        for tier in price.tiers
    ]
    await _put(tx, _PUT_PRICES, heads, now=now)
    await _put(tx, _PUT_TIERS, tiers)


async def _put(
    tx: Transaction, sql: str, rows: Sequence[dict[str, Any]], **parameters: object
) -> None:
    if rows:
        await tx.run(sql, rows=Jsonb(rows), **parameters)


async def _routes(tx: Transaction) -> dict[int, tuple[Route, ...]]:
    candidates: dict[tuple[int, int], list[Candidate]] = defaultdict(list)
    heads: dict[tuple[int, int], Row[Any]] = {}
    for row in await tx.all(_ROUTES):
        key = (row.model_number, row.lane)
        heads[key] = row
        kept = {name: getattr(row, name) for name in Candidate.model_fields}
        kept["surfaces"] = _surfaces(row.surfaces)
        candidates[key].append(Candidate(**kept))
    routes: dict[int, tuple[Route, ...]] = defaultdict(tuple)
    for (model_number, lane), found in candidates.items():
        route = Route(
            lane=lane_name(lane),
            policy=_policy(heads[model_number, lane]),
            max_attempts=heads[model_number, lane].max_attempts,
            candidates=tuple(found),
        )
        routes[model_number] += (route,)
    return routes


def _policy(row: Row[Any]) -> Policy:
    return Policy(
        balance=BALANCES[row.balance - 1],
        spare_only=row.spare_only,
        queue_rank=row.queue_rank,
        queue_wait_ms=row.queue_wait_ms,
    )


def _model(row: Row[Any]) -> StoredModel:
    facts = ModelFacts(
        **{name: getattr(row, name) for name in _MODEL_COLUMNS},
        aliases=tuple(row.aliases),
        capabilities=tuple(row.capabilities),
        kind=KINDS[row.kind - 1],
    )
    return StoredModel(number=row.number, facts=facts, created_at=row.created_at)


def _upstream(row: Row[Any]) -> StoredUpstream:
    facts = UpstreamFacts(
        name=row.name,
        base_url=row.base_url,
        dialect=DIALECTS[row.dialect - 1],
        stream_end=STREAM_ENDS[row.stream_end - 1],
        disconnect_policy=DISCONNECT_POLICIES[row.disconnect_policy - 1],
        bills_refused=row.bills_refused,
        surfaces=_surfaces(row.surfaces),
        data_policy=DATA_POLICIES[row.data_policy],
    )
    sealed = row.credential_sealed
    return StoredUpstream(
        number=row.number,
        facts=facts,
        enabled=row.enabled,
        credential_sealed=None if sealed is None else bytes(sealed),
    )


def _surfaces(numbers: Sequence[int]) -> tuple[EndpointName, ...]:
    return tuple(ENDPOINTS[number - 1] for number in numbers)


def _price(row: Row[Any]) -> StoredPrice:
    return StoredPrice(
        number=row.number,
        public_id=row.public_id,
        model_number=row.model_number,
        lane=lane_name(row.lane),
        effective_from=row.effective_from,
        tiers=tuple(PriceTier(above, tuple(rates)) for above, rates in row.tiers),
    )

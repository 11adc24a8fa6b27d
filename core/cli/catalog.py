"""`1api catalog …`: models, upstreams and prices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.cli.key import LANES
from core.cli.session import nanos_of, new_call_id, pages
from kit.cli import CommandFailed, Exit, output, wants_json
from kit.cli_calls import call, time_of, word

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from oneapi.catalog.v1.catalog_pb2 import Model, PriceTier, PriceVersion, Route, Upstream

SERVICE: Final = "catalog.v1.catalog_service"
RATES: Final = (
    "input",
    "cached_input",
    "cache_write",
    "cache_write_long",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "requests",
    "tool_calls",
)
_MODEL_COLUMNS: Final = (
    "public_id",
    "kind",
    "maker",
    "context_tokens",
    "max_output_tokens",
    "enabled",
)
_PRICE_COLUMNS: Final = (
    "number",
    "model",
    "lane",
    "effective_from",
    "above",
    "input",
    "cached_input",
    "output",
)


@click.group()
def catalog() -> None:
    """Look at and change models, upstreams, routes and prices."""


@catalog.command("list")
@click.pass_context
def list_models(context: click.Context) -> None:
    """List the models by public id."""
    found = pages(SERVICE, "ListModels", "models")
    output(context, [_model(item) for item in found], table=_MODEL_COLUMNS)


@catalog.command()
@click.argument("model")
@click.pass_context
def show(context: click.Context, model: str) -> None:
    """Show one model, by public id or alias, with its prices and routes."""
    for item in pages(SERVICE, "ListModels", "models"):
        if model == item.public_id or model in item.aliases:
            prices = pages(SERVICE, "ListPrices", "prices", public_id=item.public_id)
            found = {
                "prices": [_price(price) for price in prices],
                "routes": _routes(item.public_id),
            }
            output(context, {**_model(item), **found})
            return
    raise CommandFailed("There is no such model.", code=Exit.NOT_FOUND, reason="NOT_FOUND")


@catalog.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.pass_context
def import_file(context: click.Context, file: Path, *, dry_run: bool) -> None:
    """Import a catalogue document (docs/catalogue.md) in one transaction."""
    answer = call(SERVICE, "ImportCatalog", document=file.read_bytes(), dry_run=dry_run)
    fields = ("kind", "name", "before", "after")
    rows = [{name: getattr(change, name) for name in fields} for change in answer.changes]
    output(context, rows, table=fields)


@catalog.command()
@click.pass_context
def upstreams(context: click.Context) -> None:
    """List the upstreams; credentials are never shown."""
    output(context, [_upstream(item) for item in call(SERVICE, "ListUpstreams").upstreams])


@catalog.command()
@click.pass_context
def endpoints(context: click.Context) -> None:
    """List what is stated of endpoints; of all others edges say by themselves."""
    found = call(SERVICE, "ListEndpointStates").states
    rows = [
        {"endpoint": word(item, "endpoint"), "status": word(item, "status"), "note": item.note}
        for item in found
    ]
    output(context, rows)


@catalog.group()
def price() -> None:
    """Look at and publish price versions."""


@price.command("list")
@click.argument("model", default="")
@click.pass_context
def list_prices(context: click.Context, model: str) -> None:
    """List price versions, newest first, in US dollars per million units."""
    found = [_price(item) for item in pages(SERVICE, "ListPrices", "prices", public_id=model)]
    # A program gets whole versions, a person a line for each tier.
    lines = [
        {**version, "above": tier["above_context_tokens"], **tier}
        for version in found
        for tier in version["tiers"]
    ]
    output(context, found if wants_json(context) else lines, table=_PRICE_COLUMNS)


@price.command()
@click.argument("model")
@click.option("--lane", type=click.Choice(LANES), default="default", show_default=True)
@click.option("--effective-from", type=click.DateTime(), help="UTC; default: now.")
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    required=True,
    metavar="[ABOVE:]RATE=USD,…",
    help="Such as input=2.50,output=10 or 200000:input=5,output=15; repeat for more tiers.",
)
@click.pass_context
def publish(
    context: click.Context,
    model: str,
    lane: str,
    effective_from: datetime | None,
    tiers: tuple[str, ...],
) -> None:
    """Publish a price version, in US dollars per million units; missing rates by the usual rule."""
    from google.protobuf.timestamp_pb2 import Timestamp  # noqa: PLC0415

    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    begins = None
    if effective_from is not None:
        begins = Timestamp()
        begins.FromDatetime(effective_from)
    answer = call(
        SERVICE,
        "PublishPrice",
        request_id=new_call_id(),
        public_id=model,
        lane=Lane.Value(f"LANE_{lane.upper()}"),
        effective_from=begins,
        tiers=[_parse_tier(text) for text in tiers],
    )
    output(context, _price(answer.price))


def _parse_tier(text: str) -> PriceTier:
    """Read `200000:input=5,output=15` and fill in the other rates as a document would."""
    from pydantic import ValidationError  # noqa: PLC0415

    from core.catalog.messages import tier_message  # noqa: PLC0415
    from core.catalog.model import Rates  # noqa: PLC0415

    above, colon, listed = text.rpartition(":")
    if colon and not above.isdecimal():
        raise click.BadParameter("a tier is [ABOVE:]RATE=USD,…")
    rates = dict(_parse_rate(part) for part in listed.split(","))
    try:
        return tier_message(Rates(above_context_tokens=int(above or 0), **rates).tier())
    except ValidationError:
        raise click.BadParameter("a tier has at least input and output") from None


def _parse_rate(text: str) -> tuple[str, int]:
    name, _, amount = text.partition("=")
    if name not in RATES:
        raise click.BadParameter(f"a rate is one of {', '.join(RATES)}")
    return name, nanos_of(amount)


def _model(model: Model) -> dict[str, Any]:
    return {
        "number": model.number,
        "public_id": model.public_id,
        "name": model.display_name,
        "maker": model.maker,
        "kind": word(model, "kind"),
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "aliases": list(model.aliases),
        "capabilities": list(model.capabilities),
        "enabled": model.enabled,
    }


def _routes(public_id: str) -> list[dict[str, Any]]:
    names = {item.number: item.name for item in call(SERVICE, "ListUpstreams").upstreams}
    routes = call(SERVICE, "ListRoutes", public_id=public_id).routes
    return [_route(route, names) for route in routes]


def _route(route: Route, names: dict[int, str]) -> dict[str, Any]:
    from oneapi.catalog.v1.catalog_pb2 import RoutePolicy  # noqa: PLC0415
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    policy, numbers = route.policy, ("weight", "priority", "max_running")
    return {
        "lane": Lane.Name(route.lane).removeprefix("LANE_").lower(),
        "balance": RoutePolicy.Balance.Name(policy.balance).removeprefix("BALANCE_").lower(),
        "spare_only": policy.spare_only,
        "queue_rank": policy.queue_rank,
        "queue_wait_ms": policy.queue_wait_ms,
        "candidates": [
            {
                "upstream": names[item.upstream_number],
                "upstream_model": item.upstream_model,
                **{name: getattr(item, name) for name in numbers},
                "surfaces": _surfaces(item.surfaces),
            }
            for item in route.candidates
        ],
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    from oneapi.catalog.v1.catalog_pb2 import Upstream as Message  # noqa: PLC0415

    dialect = Message.Dialect.Name(upstream.dialect)
    policy = Message.DisconnectPolicy.Name(upstream.disconnect_policy)
    return {
        "number": upstream.number,
        "name": upstream.name,
        "base_url": upstream.base_url,
        "dialect": dialect.removeprefix("DIALECT_").lower(),
        "disconnect_policy": policy.removeprefix("DISCONNECT_POLICY_").lower(),
        "bills_refused": upstream.bills_refused,
        "surfaces": _surfaces(upstream.surfaces),
        "data_policy": word(upstream, "data_policy") or "unknown",
        "enabled": upstream.enabled,
        "has_credential": upstream.has_credential,
    }


def _surfaces(numbers: Sequence[int]) -> list[str]:
    from oneapi.common.v1.endpoint_pb2 import Endpoint  # noqa: PLC0415

    names = (Endpoint.Name(Endpoint.ValueType(number)) for number in numbers)
    return [name.removeprefix("ENDPOINT_").lower() for name in names]


def _price(version: PriceVersion) -> dict[str, Any]:
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    return {
        "number": version.number,
        "model": version.public_id,
        "lane": Lane.Name(version.lane).removeprefix("LANE_").lower(),
        "effective_from": time_of(version, "effective_from"),
        "tiers": [_tier(tier) for tier in version.tiers],
    }


def _tier(tier: PriceTier) -> dict[str, Any]:
    from kit.money import format_dollars  # noqa: PLC0415

    rates = {name: format_dollars(getattr(tier, name)) for name in RATES}
    return {"above_context_tokens": tier.above_context_tokens, **rates}

"""`1api catalog …`: models, upstreams and prices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli.key import LANES
from core.cli.session import CALL_SECONDS, core_channel, new_call_id
from kit.cli import CommandFailed, Exit, output

if TYPE_CHECKING:
    from oneapi.catalog.v1.catalog_pb2 import Model, PriceTier, PriceVersion, Upstream

RATES = (
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
_MODEL_COLUMNS = ("public_id", "maker", "context_tokens", "max_output_tokens", "enabled")
_PRICE_COLUMNS = ("number", "model", "lane", "effective_from", "input", "cached_input", "output")


@click.group()
def catalog() -> None:
    """Look at and change models, upstreams, routes and prices."""


def _call(method: str, **fields: Any) -> Any:
    from oneapi.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc  # noqa: PLC0415

    request = getattr(catalog_service_pb2, f"{method}Request")(**fields)
    with core_channel() as channel:
        stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        return getattr(stub, method)(request, timeout=CALL_SECONDS)


def _pages(method: str, field: str, **fields: Any) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        page = _call(method, page_size=1_000, page_token=token, **fields)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


@catalog.command("list")
@click.pass_context
def list_models(context: click.Context) -> None:
    """List the models by public id."""
    rows = [_model(item) for item in _pages("ListModels", "models")]
    output(context, rows, table=_MODEL_COLUMNS)


@catalog.command()
@click.argument("public_id")
@click.pass_context
def show(context: click.Context, public_id: str) -> None:
    """Show one model with its prices."""
    for item in _pages("ListModels", "models"):
        if item.public_id == public_id or public_id in item.aliases:
            prices = _pages("ListPrices", "prices", public_id=item.public_id)
            output(context, {**_model(item), "prices": [_price(price) for price in prices]})
            return
    raise CommandFailed("There is no such model.", code=Exit.NOT_FOUND, reason="NOT_FOUND")


@catalog.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.pass_context
def import_file(context: click.Context, file: Path, *, dry_run: bool) -> None:
    """Import a catalogue document (docs/catalogue.md) in one transaction."""
    answer = _call("ImportCatalog", document=file.read_bytes(), dry_run=dry_run)
    fields = ("kind", "name", "before", "after")
    rows = [{name: getattr(change, name) for name in fields} for change in answer.changes]
    output(context, rows, table=fields)


@catalog.command()
@click.pass_context
def upstreams(context: click.Context) -> None:
    """List the upstreams; credentials are never shown."""
    output(context, [_upstream(item) for item in _call("ListUpstreams").upstreams])


@catalog.group()
def price() -> None:
    """Look at and publish price versions."""


@price.command("list")
@click.argument("public_id", default="")
@click.pass_context
def list_prices(context: click.Context, public_id: str) -> None:
    """List price versions, newest first, in US dollars per million units."""
    rows = [_price(item) for item in _pages("ListPrices", "prices", public_id=public_id)]
    output(context, [_flat(row) for row in rows], table=_PRICE_COLUMNS)


@price.command()
@click.argument("public_id")
@click.option("--lane", type=click.Choice(LANES), default="default", show_default=True)
@click.option("--effective-from", type=click.DateTime(), help="UTC; default: now.")
@click.option("--rate", "rates", multiple=True, required=True, metavar="DIMENSION=USD")
@click.pass_context
def publish(
    context: click.Context, public_id: str, lane: str, effective_from: Any, rates: tuple[str, ...]
) -> None:
    """Publish a price version with one tier, in US dollars per million units."""
    from oneapi.catalog.v1.catalog_pb2 import PriceTier  # noqa: PLC0415
    from oneapi.catalog.v1.catalog_service_pb2 import PublishPriceRequest  # noqa: PLC0415
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    request = PublishPriceRequest(
        request_id=new_call_id(),
        public_id=public_id,
        lane=Lane.Value(f"LANE_{lane.upper()}"),
        tiers=[PriceTier(**dict(_rate(text) for text in rates))],
    )
    if effective_from is not None:
        request.effective_from.FromDatetime(effective_from)
    fields = {name.name: value for name, value in request.ListFields()}
    output(context, _price(_call("PublishPrice", **fields).price))


def _rate(text: str) -> tuple[str, int]:
    from kit.money import InvalidAmountError, parse_dollars  # noqa: PLC0415

    name, _, amount = text.partition("=")
    if name not in RATES:
        raise click.BadParameter(f"a dimension is one of {', '.join(RATES)}")
    try:
        return name, parse_dollars(amount)
    except InvalidAmountError:
        raise click.BadParameter("a rate is DIMENSION=USD, such as input=2.50") from None


def _model(model: Model) -> dict[str, Any]:
    return {
        "number": model.number,
        "public_id": model.public_id,
        "name": model.display_name,
        "maker": model.maker,
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "aliases": list(model.aliases),
        "capabilities": list(model.capabilities),
        "enabled": model.enabled,
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    from oneapi.catalog.v1.catalog_pb2 import Upstream as Message  # noqa: PLC0415

    dialect = Message.Dialect.Name(upstream.dialect).removeprefix("DIALECT_").lower()
    policy = Message.DisconnectPolicy.Name(upstream.disconnect_policy)
    return {
        "number": upstream.number,
        "name": upstream.name,
        "base_url": upstream.base_url,
        "dialect": dialect,
        "disconnect_policy": policy.removeprefix("DISCONNECT_POLICY_").lower(),
        "bills_refused": upstream.bills_refused,
        "enabled": upstream.enabled,
        "has_credential": upstream.has_credential,
    }


def _price(version: PriceVersion) -> dict[str, Any]:
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    return {
        "number": version.number,
        "model": version.public_id,
        "lane": Lane.Name(version.lane).removeprefix("LANE_").lower(),
        "effective_from": version.effective_from.ToJsonString(),
        "tiers": [_tier(tier) for tier in version.tiers],
    }


def _tier(tier: PriceTier) -> dict[str, Any]:
    from kit.money import format_dollars  # noqa: PLC0415

    rates = {name: format_dollars(getattr(tier, name)) for name in RATES}
    return {"above_context_tokens": tier.above_context_tokens, **rates}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{name: row["tiers"][0][name] for name in RATES}}

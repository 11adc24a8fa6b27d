"""`1api key …`: API keys through their life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from core.cli.session import CALL_SECONDS, core_channel, new_call_id, workspace_option
from kit.cli import output

if TYPE_CHECKING:
    from oneapi.keys.v1.api_key_pb2 import ApiKey, KeyEvent, KeySettings

LANES = ("default", "economy", "coding", "priority", "opportunistic")
_COLUMNS = ("key_id", "name", "state", "hint", "lane", "created_at")


@click.group()
def key() -> None:
    """Create, change, rotate and stop API keys."""


def _stub() -> Any:
    from oneapi.keys.v1 import key_service_pb2_grpc  # noqa: PLC0415  keeps `1api --help` quick

    return key_service_pb2_grpc.KeyServiceStub


def _call(method: str, **fields: Any) -> Any:
    from oneapi.keys.v1 import key_service_pb2  # noqa: PLC0415

    request = getattr(key_service_pb2, f"{method}Request")(**fields)
    with core_channel() as channel:
        return getattr(_stub()(channel), method)(request, timeout=CALL_SECONDS)


def _settings_options(command: Any) -> Any:
    for option in (
        click.option("--lane", type=click.Choice(LANES), help="Lane of requests that choose none."),
        click.option("--model", "models", multiple=True, help="Allowed model; repeat for more."),
        click.option("--default-model", default="", help="Model of requests that name none."),
        click.option("--alias", "aliases", multiple=True, metavar="NAME=MODEL"),
        click.option("--requests-per-minute", type=click.IntRange(0), default=0),
        click.option("--tokens-per-minute", type=click.IntRange(0), default=0),
        click.option("--concurrent-requests", type=click.IntRange(0), default=0),
        click.option("--spend-per-day", metavar="USD"),
        click.option("--spend-per-month", metavar="USD"),
        click.option("--spend-total", metavar="USD"),
        click.option("--network", "networks", multiple=True, metavar="CIDR"),
        click.option("--expires-at", type=click.DateTime(), help="UTC."),
    ):
        command = option(command)
    return command


def _settings(options: dict[str, Any]) -> KeySettings:
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415
    from oneapi.keys.v1.api_key_pb2 import KeyLimits, KeySettings  # noqa: PLC0415

    lane = options["lane"]
    limits = KeyLimits(
        requests_per_minute=options["requests_per_minute"],
        tokens_per_minute=options["tokens_per_minute"],
        concurrent_requests=options["concurrent_requests"],
        spend_per_day=_money(options["spend_per_day"]),
        spend_per_month=_money(options["spend_per_month"]),
        spend_total=_money(options["spend_total"]),
    )
    settings = KeySettings(
        lane=Lane.Value(f"LANE_{lane.upper()}") if lane else Lane.LANE_UNSPECIFIED,
        allowed_models=options["models"],
        default_model=options["default_model"],
        model_aliases=dict(_pair(text) for text in options["aliases"]),
        limits=limits,
        allowed_networks=options["networks"],
    )
    if options["expires_at"] is not None:
        settings.expires_at.FromDatetime(options["expires_at"])
    return settings


def _money(text: str | None) -> Any:
    from kit.money import InvalidAmountError, parse_dollars  # noqa: PLC0415
    from oneapi.common.v1.money_pb2 import Money  # noqa: PLC0415

    if text is None:
        return None
    try:
        return Money(amount_nanos=parse_dollars(text), currency_code="USD")
    except InvalidAmountError:
        raise click.BadParameter("an amount of US dollars, such as 5.00") from None


def _pair(text: str) -> tuple[str, str]:
    name, separator, model = text.partition("=")
    if not separator or not name or not model:
        raise click.BadParameter("an alias is NAME=MODEL")
    return name, model


def _row(api_key: ApiKey, secret: str | None = None) -> dict[str, Any]:
    from kit.money import format_dollars  # noqa: PLC0415
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415
    from oneapi.keys.v1.api_key_pb2 import ApiKey as Message  # noqa: PLC0415

    settings, limits = api_key.settings, api_key.settings.limits
    row: dict[str, Any] = {
        "key_id": api_key.key_id,
        "workspace_id": api_key.workspace_id,
        "name": api_key.display_name,
        "state": Message.State.Name(api_key.state).removeprefix("STATE_").lower(),
        "hint": api_key.secret_hint,
        "lane": Lane.Name(settings.lane).removeprefix("LANE_").lower() if settings.lane else None,
        "allowed_models": list(settings.allowed_models),
        "default_model": settings.default_model or None,
        "aliases": dict(settings.model_aliases),
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrent_requests": limits.concurrent_requests,
        "spend_per_day": format_dollars(limits.spend_per_day.amount_nanos),
        "spend_per_month": format_dollars(limits.spend_per_month.amount_nanos),
        "spend_total": format_dollars(limits.spend_total.amount_nanos),
        "networks": list(settings.allowed_networks),
        "expires_at": _time(settings, "expires_at"),
        "created_at": _time(api_key, "created_at"),
        "previous_secret_expires_at": _time(api_key, "previous_secret_expires_at"),
        "version": api_key.version,
    }
    return row if secret is None else {**row, "secret": secret}


def _time(message: Any, field: str) -> str | None:
    return getattr(message, field).ToJsonString() if message.HasField(field) else None


@key.command()
@click.argument("name")
@workspace_option
@_settings_options
@click.pass_context
def create(context: click.Context, /, name: str, workspace: str, **options: Any) -> None:
    """Create a key and show its secret, once."""
    answer = _call(
        "CreateKey",
        request_id=new_call_id(),
        workspace_id=workspace,
        display_name=name,
        settings=_settings(options),
    )
    output(context, _row(answer.key, answer.secret))


@key.command("list")
@workspace_option
@click.pass_context
def list_keys(context: click.Context, workspace: str) -> None:
    """List the keys of a workspace, newest first."""
    rows: list[dict[str, Any]] = []
    token = ""
    while True:
        page = _call("ListKeys", workspace_id=workspace, page_size=1_000, page_token=token)
        rows += [_row(item) for item in page.keys]
        token = page.next_page_token
        if not token:
            break
    output(context, rows, table=_COLUMNS)


@key.command()
@click.argument("key_id")
@click.pass_context
def show(context: click.Context, key_id: str) -> None:
    """Show one key."""
    output(context, _row(_call("GetKey", key_id=key_id).key))


@key.command()
@click.argument("key_id")
@click.option("--name", help="Default: the name that it has.")
@_settings_options
@click.pass_context
def update(context: click.Context, /, key_id: str, name: str | None, **options: Any) -> None:
    """Give a key a name and settings, as a whole: what is not said is reset."""
    before = _call("GetKey", key_id=key_id).key
    answer = _call(
        "UpdateKey",
        key_id=key_id,
        display_name=name or before.display_name,
        settings=_settings(options),
        expected_version=before.version,
    )
    output(context, _row(answer.key))


@key.command()
@click.argument("key_id")
@click.option("--grace-seconds", type=click.IntRange(0, 604_800), default=0, show_default=True)
@click.pass_context
def rotate(context: click.Context, key_id: str, grace_seconds: int) -> None:
    """Give a key a new secret, shown once; the old one works for the grace time."""
    answer = _call(
        "RotateKey", request_id=new_call_id(), key_id=key_id, grace_seconds=grace_seconds
    )
    output(context, _row(answer.key, answer.secret))


def _step(method: str, name: str, text: str) -> None:
    @key.command(name, help=text)
    @click.argument("key_id")
    @click.pass_context
    def step(context: click.Context, key_id: str) -> None:
        output(context, _row(_call(method, key_id=key_id).key))


_step("DisableKey", "disable", "Stop a key until it is enabled.")
_step("EnableKey", "enable", "Let a disabled key work again.")
_step("RevokeKey", "revoke", "Stop a key for good.")


@key.command()
@click.argument("key_id")
@click.pass_context
def events(context: click.Context, key_id: str) -> None:
    """List the steps of a key's life, newest first."""
    page = _call("ListKeyEvents", key_id=key_id, page_size=1_000)
    output(context, [_event(item) for item in page.events])


def _event(event: KeyEvent) -> dict[str, Any]:
    from oneapi.keys.v1.api_key_pb2 import KeyEvent as Message  # noqa: PLC0415

    return {
        "key_id": event.key_id,
        "event": Message.Kind.Name(event.kind).removeprefix("KIND_").lower(),
        "occurred_at": event.occurred_at.ToJsonString(),
        "actor": event.actor,
        "version": event.version,
    }

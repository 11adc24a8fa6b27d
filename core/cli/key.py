"""`1api key …`: API keys through their life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from core.cli.session import nanos_of, new_call_id, pages, workspace_option
from kit.cli import output
from kit.cli_calls import call, time_of

if TYPE_CHECKING:
    from oneapi.keys.v1.api_key_pb2 import (
        ApiKey,
        KeyEvent,
        KeyLimits,
        KeySettings,
        Permission,
    )

LANES: Final = ("default", "economy", "coding", "priority", "opportunistic")
SERVICE: Final = "keys.v1.key_service"
_COLUMNS: Final = ("key_id", "name", "state", "hint", "lane", "created_at")
_COUNTS: Final = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
_SPEND: Final = ("spend_per_day", "spend_per_month", "spend_total")
PERMISSIONS: Final = ("archives.download",)
_LISTS: Final = {"models": "allowed_models", "networks": "allowed_networks"}
_RESETTABLE: Final = (
    "lane",
    "models",
    "default-model",
    "aliases",
    "networks",
    "permissions",
    "expires-at",
    *(name.replace("_", "-") for name in (*_COUNTS, *_SPEND)),
)


@click.group()
def key() -> None:
    """Create, change, rotate and stop API keys."""


def _settings_options(command: Any) -> Any:
    for option in (
        click.option("--lane", type=click.Choice(LANES), help="Lane of requests that choose none."),
        click.option("--model", "models", multiple=True, help="Allowed model; repeat for more."),
        click.option("--default-model", help="Model of requests that name none."),
        click.option("--alias", "aliases", multiple=True, metavar="NAME=MODEL"),
        click.option("--requests-per-minute", type=click.IntRange(1)),
        click.option("--tokens-per-minute", type=click.IntRange(1)),
        click.option("--concurrent-requests", type=click.IntRange(1)),
        click.option("--spend-per-day", metavar="USD"),
        click.option("--spend-per-month", metavar="USD"),
        click.option("--spend-total", metavar="USD"),
        click.option("--network", "networks", multiple=True, metavar="CIDR"),
        click.option(
            "--zero-retention/--no-zero-retention",
            default=None,
            help="Only upstreams that keep nothing may serve it.",
        ),
        click.option(
            "--permission",
            "permissions",
            multiple=True,
            type=click.Choice(PERMISSIONS),
            help="What it may do beside asking models; repeat for more.",
        ),
        click.option("--expires-at", type=click.DateTime(), help="UTC."),
    ):
        command = option(command)
    return command


def _apply(settings: KeySettings, options: dict[str, Any]) -> KeySettings:
    """Change what the options say; what they do not say stays."""
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415

    if options["lane"]:
        settings.lane = Lane.Value(f"LANE_{options['lane'].upper()}")
    if options["default_model"] is not None:
        settings.default_model = options["default_model"]
    for option, field in _LISTS.items():
        if options[option]:
            settings.ClearField(field)  # type: ignore[arg-type]
            getattr(settings, field).extend(options[option])
    if options["aliases"]:
        settings.model_aliases.clear()
        settings.model_aliases.update(dict(_pair(text) for text in options["aliases"]))
    if options["zero_retention"] is not None:
        settings.requires_zero_retention = options["zero_retention"]
    if options["permissions"]:
        settings.ClearField("permissions")
        settings.permissions.extend(_permission(word) for word in options["permissions"])
    if options["expires_at"] is not None:
        settings.expires_at.FromDatetime(options["expires_at"])
    _apply_limits(settings.limits, options)
    return settings


def _apply_limits(limits: KeyLimits, options: dict[str, Any]) -> None:
    for name in _COUNTS:
        if options[name] is not None:
            setattr(limits, name, options[name])
    for name in _SPEND:
        if options[name] is not None:
            getattr(limits, name).amount_nanos = nanos_of(options[name])
            getattr(limits, name).currency_code = "USD"


def _reset(settings: KeySettings, name: str) -> None:
    field = name.replace("-", "_")
    if field in (*_COUNTS, *_SPEND):
        settings.limits.ClearField(field)  # type: ignore[arg-type]
    else:
        other = {"aliases": "model_aliases", **_LISTS}
        settings.ClearField(other.get(field, field))  # type: ignore[arg-type]


def _permission(word: str) -> Permission.ValueType:
    from oneapi.keys.v1.api_key_pb2 import Permission as Message  # noqa: PLC0415

    return Message.Value(f"PERMISSION_{word.upper().replace('.', '_')}")


def _pair(text: str) -> tuple[str, str]:
    name, separator, model = text.partition("=")
    if not separator or not name or not model:
        raise click.BadParameter("an alias is NAME=MODEL")
    return name, model


@key.command()
@click.argument("name")
@workspace_option
@_settings_options
@click.pass_context
def create(context: click.Context, /, name: str, workspace: str, **options: Any) -> None:
    """Create a key and show its secret, once."""
    from oneapi.keys.v1.api_key_pb2 import KeySettings  # noqa: PLC0415

    answer = call(
        SERVICE,
        "CreateKey",
        request_id=new_call_id(),
        workspace_id=workspace,
        display_name=name,
        settings=_apply(KeySettings(), options),
    )
    output(context, {**_row(answer.key), "secret": answer.secret})


@key.command("list")
@workspace_option
@click.pass_context
def list_keys(context: click.Context, workspace: str) -> None:
    """List the keys of a workspace, newest first."""
    found = pages(SERVICE, "ListKeys", "keys", workspace_id=workspace)
    output(context, [_row(item) for item in found], table=_COLUMNS)


@key.command()
@click.argument("key_id")
@click.pass_context
def show(context: click.Context, key_id: str) -> None:
    """Show one key."""
    output(context, _row(call(SERVICE, "GetKey", key_id=key_id).key))


@key.command()
@click.argument("key_id")
@click.option("--name", help="A new name.")
@click.option(
    "--reset", "resets", multiple=True, type=click.Choice(_RESETTABLE), help="Unset a setting."
)
@_settings_options
@click.pass_context
def update(
    context: click.Context,
    /,
    key_id: str,
    name: str | None,
    resets: tuple[str, ...],
    **options: Any,
) -> None:
    """Change a key's name and settings; what is not said stays as it is."""
    before = call(SERVICE, "GetKey", key_id=key_id).key
    for setting in resets:
        _reset(before.settings, setting)
    answer = call(
        SERVICE,
        "UpdateKey",
        key_id=key_id,
        display_name=name or before.display_name,
        settings=_apply(before.settings, options),
        expected_version=before.version,
    )
    output(context, _row(answer.key))


@key.command()
@click.argument("key_id")
@click.option("--grace-seconds", type=click.IntRange(0, 604_800), default=0, show_default=True)
@click.pass_context
def rotate(context: click.Context, key_id: str, grace_seconds: int) -> None:
    """Give a key a new secret, shown once; the old one works for the grace time."""
    answer = call(
        SERVICE, "RotateKey", request_id=new_call_id(), key_id=key_id, grace_seconds=grace_seconds
    )
    output(context, {**_row(answer.key), "secret": answer.secret})


def _step(method: str, name: str, text: str) -> None:
    @key.command(name, help=text)
    @click.argument("key_id")
    @click.pass_context
    def step(context: click.Context, key_id: str) -> None:
        output(context, _row(call(SERVICE, method, key_id=key_id).key))


_step("DisableKey", "disable", "Stop a key until it is enabled.")
_step("EnableKey", "enable", "Let a disabled key work again.")
_step("RevokeKey", "revoke", "Stop a key for good.")


@key.command()
@click.argument("key_id")
@click.pass_context
def events(context: click.Context, key_id: str) -> None:
    """List the steps of a key's life, newest first."""
    found = pages(SERVICE, "ListKeyEvents", "events", key_id=key_id)
    output(context, [_event(item) for item in found])


def _row(api_key: ApiKey) -> dict[str, Any]:
    from kit.money import format_dollars  # noqa: PLC0415
    from oneapi.common.v1.lane_pb2 import Lane  # noqa: PLC0415
    from oneapi.keys.v1.api_key_pb2 import ApiKey as Message  # noqa: PLC0415

    settings, limits = api_key.settings, api_key.settings.limits
    spend = {name: getattr(limits, name).amount_nanos for name in _SPEND}
    return {
        "key_id": api_key.key_id,
        "workspace_id": api_key.workspace_id,
        "name": api_key.display_name,
        "state": Message.State.Name(api_key.state).removeprefix("STATE_").lower(),
        "hint": api_key.secret_hint,
        "lane": Lane.Name(settings.lane).removeprefix("LANE_").lower() if settings.lane else None,
        "allowed_models": list(settings.allowed_models),
        "default_model": settings.default_model or None,
        "aliases": dict(settings.model_aliases),
        **{name: getattr(limits, name) or None for name in _COUNTS},
        **{name: format_dollars(nanos) if nanos else None for name, nanos in spend.items()},
        "networks": list(settings.allowed_networks),
        "zero_retention": settings.requires_zero_retention,
        "permissions": [PERMISSIONS[number - 1] for number in settings.permissions],
        "expires_at": time_of(settings, "expires_at"),
        "created_at": time_of(api_key, "created_at"),
        "previous_secret_expires_at": time_of(api_key, "previous_secret_expires_at"),
        "version": api_key.version,
    }


def _event(event: KeyEvent) -> dict[str, Any]:
    from oneapi.keys.v1.api_key_pb2 import KeyEvent as Message  # noqa: PLC0415

    return {
        "key_id": event.key_id,
        "event": Message.Kind.Name(event.kind).removeprefix("KIND_").lower(),
        "occurred_at": time_of(event, "occurred_at"),
        "actor": event.actor,
        "version": event.version,
    }

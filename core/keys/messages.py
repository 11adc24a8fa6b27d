"""Keys between messages and our own types, nothing else."""

from __future__ import annotations

from datetime import datetime

from core.keys.model import ApiKey, KeyEvent, KeyLimits, KeySettings, Permission
from core.timestamps import from_timestamp, to_timestamp
from kit.ids import format_id
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.common.v1.money_pb2 import Money
from oneapi.keys.v1 import api_key_pb2 as pb

_SPEND = ("spend_per_day", "spend_per_month", "spend_total")
_COUNTS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


def parse_settings(message: pb.KeySettings) -> KeySettings:
    """Read settings; an unset limit is 0, an unset expiry is never."""
    limits = message.limits
    expires_at = message.expires_at if message.HasField("expires_at") else None
    return KeySettings(
        lane=message.lane,
        allowed_models=tuple(message.allowed_models),
        default_model=message.default_model,
        model_aliases=dict(message.model_aliases),
        limits=KeyLimits(
            **{name: getattr(limits, name) for name in _COUNTS},
            **{name: getattr(limits, name).amount_nanos for name in _SPEND},
        ),
        expires_at=None if expires_at is None else from_timestamp(expires_at),
        allowed_networks=tuple(message.allowed_networks),
        requires_zero_retention=message.requires_zero_retention,
        permissions=frozenset(map(Permission, message.permissions)),
    )


def key_message(key: ApiKey, now: datetime) -> pb.ApiKey:
    """Render a key as it stands at `now`."""
    previous = key.previous_secret(now)
    return pb.ApiKey(
        key_id=format_id("key", key.key_id),
        workspace_id=format_id("ws", key.workspace_id),
        display_name=key.display_name,
        secret_hint=key.secret_hint,
        state=pb.ApiKey.State.ValueType(key.state(now)),
        settings=_settings_message(key.settings),
        created_at=to_timestamp(key.created_at),
        previous_secret_expires_at=to_timestamp(None if previous is None else previous[1]),
        version=key.version,
    )


def event_message(event: KeyEvent) -> pb.KeyEvent:
    """Render a step of a key's life."""
    return pb.KeyEvent(
        key_id=format_id("key", event.key_id),
        kind=pb.KeyEvent.Kind.ValueType(event.kind),
        occurred_at=to_timestamp(event.occurred_at),
        actor=event.actor,
        version=event.version,
    )


def _settings_message(settings: KeySettings) -> pb.KeySettings:
    return pb.KeySettings(
        lane=Lane.ValueType(settings.lane),
        allowed_models=settings.allowed_models,
        default_model=settings.default_model,
        model_aliases=settings.model_aliases,
        limits=_limits_message(settings.limits),
        expires_at=to_timestamp(settings.expires_at),
        allowed_networks=settings.allowed_networks,
        requires_zero_retention=settings.requires_zero_retention,
        permissions=map(pb.Permission.ValueType, sorted(settings.permissions)),
    )


def _limits_message(limits: KeyLimits) -> pb.KeyLimits:
    return pb.KeyLimits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrent_requests=limits.concurrent_requests,
        spend_per_day=_money(limits.spend_per_day),
        spend_per_month=_money(limits.spend_per_month),
        spend_total=_money(limits.spend_total),
    )


def _money(nanos: int) -> Money:
    return Money(amount_nanos=nanos, currency_code="USD")

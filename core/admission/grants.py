"""Grants: what an edge must know of a key. Built from the key, its workspace and the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.accounts.model import WorkspaceState
from core.db.database import Transaction
from core.db.values import to_uuid
from core.keys.model import ApiKey, KeyState
from core.keys.store import KEY_COLUMNS, key_of
from core.timestamps import to_micros_or_zero
from kit.clock import to_micros
from kit.reasons import NotFound
from oneapi.admission.v1 import grant_pb2 as pb
from oneapi.common.v1.lane_pb2 import Lane

_KEY: Final = ", ".join(f"k.{name.strip()}" for name in KEY_COLUMNS.split(","))
_SELECT: Final = f"""
SELECT {_KEY}, w.state AS workspace_state, w.default_lane, w.version AS workspace_version,
       w.requires_zero_retention AS workspace_requires_zero_retention, w.cors_origins,
       coalesce(w.spend_day_nanos, w.spend_month_nanos, w.spend_life_nanos) IS NOT NULL
           AS workspace_has_spend_limit
  FROM api_key AS k JOIN workspace AS w ON w.id = k.workspace_id
"""  # noqa: S608 constant columns
_BY_HASH: Final = f"""
{_SELECT} WHERE k.secret_hash = ANY(:hashes)
UNION ALL
{_SELECT} WHERE k.previous_secret_hash = ANY(:hashes) AND k.previous_secret_expires_at > :now
LIMIT 1
"""
_BY_ID: Final = f"""
{_SELECT} WHERE k.id = ANY(:key_ids)
UNION
{_SELECT} WHERE k.workspace_id = ANY(:workspace_ids)
LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class GrantSource:
    """A key and what of its workspace matters."""

    key: ApiKey
    workspace_state: WorkspaceState
    default_lane: int
    workspace_version: int
    requires_zero_retention: bool = False
    cors_origins: tuple[str, ...] = ()
    has_spend_limit: bool = False
    """Whether the workspace limits what its keys spend together."""


async def find_grant(tx: Transaction, hashes: Collection[bytes], now: datetime) -> pb.Grant:
    """Return the grant of a secret, known by its keyed hash under any pepper in use.

    Raises:
        NotFound: no key has this secret, or its grace time is over.
    """
    row = await tx.one(_BY_HASH, hashes=list(hashes), now=now)
    if row is None:
        raise NotFound
    return grant_message(_source(row), now)


async def list_grants(
    tx: Transaction,
    key_ids: Collection[bytes],
    workspace_ids: Collection[bytes],
    now: datetime,
    limit: int,
) -> list[pb.Grant]:
    """Return the grants of keys, and of all keys of workspaces; at most `limit`."""
    rows = await tx.all(
        _BY_ID,
        key_ids=[to_uuid(key_id) for key_id in key_ids],
        workspace_ids=[to_uuid(workspace_id) for workspace_id in workspace_ids],
        limit=limit,
    )
    return [grant_message(_source(row), now) for row in rows]


def grant_message(source: GrantSource, now: datetime) -> pb.Grant:
    """Render a grant. Models go by name: what a name stands for may change without the key."""
    key = source.key
    settings, limits = key.settings, key.settings.limits
    return pb.Grant(
        key_id=key.key_id,
        workspace_id=key.workspace_id,
        version=max(key.version, source.workspace_version),
        state=_state(source, now),
        lane=Lane.ValueType(settings.lane or source.default_lane),
        allowed_models=settings.allowed_models,
        default_model=settings.default_model,
        aliases=[
            pb.GrantAlias(alias=alias, model=name)
            for alias, name in sorted(settings.model_aliases.items())
        ],
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrent_requests=limits.concurrent_requests,
        expires_at_micros=to_micros_or_zero(settings.expires_at),
        allowed_networks=settings.allowed_networks,
        secrets=_secrets(key, now),
        has_spend_limit=limits.has_spend_limit or source.has_spend_limit,
        requires_zero_retention=settings.requires_zero_retention or source.requires_zero_retention,
        cors_origins=source.cors_origins,
    )


def _state(source: GrantSource, now: datetime) -> pb.Grant.State.ValueType:
    states = {
        KeyState.DISABLED: pb.Grant.STATE_KEY_DISABLED,
        KeyState.REVOKED: pb.Grant.STATE_KEY_REVOKED,
        KeyState.EXPIRED: pb.Grant.STATE_KEY_EXPIRED,
    }
    refused = states.get(source.key.state(now))
    if refused is not None:
        return refused
    if source.workspace_state is not WorkspaceState.ACTIVE:
        return pb.Grant.STATE_WORKSPACE_NOT_ACTIVE
    return pb.Grant.STATE_ACTIVE


def _secrets(key: ApiKey, now: datetime) -> list[pb.GrantSecret]:
    secrets = [pb.GrantSecret(secret_hash=key.secret_hash)]
    previous = key.previous_secret(now)
    if previous is not None:
        secret_hash, end = previous
        secrets.append(pb.GrantSecret(secret_hash=secret_hash, expires_at_micros=to_micros(end)))
    return secrets


def _source(row: Row[Any]) -> GrantSource:
    return GrantSource(
        key=key_of(row),
        workspace_state=WorkspaceState(row.workspace_state),
        default_lane=row.default_lane,
        workspace_version=row.workspace_version,
        requires_zero_retention=row.workspace_requires_zero_retention,
        cors_origins=tuple(row.cors_origins),
        has_spend_limit=row.workspace_has_spend_limit,
    )

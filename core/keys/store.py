"""All SQL of API keys and the record of their steps."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb
from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from core.keys.model import (
    ApiKey,
    KeyEvent,
    KeyEventKind,
    KeyLimits,
    KeySettings,
    KeyState,
    Permission,
)
from kit.reasons import NotFound

KEY_COLUMNS: Final = """
    id, workspace_id, display_name, secret_hint, secret_hash, pepper_version, previous_secret_hash,
    previous_secret_expires_at, state, lane, allowed_models, default_model, model_aliases,
    requests_per_minute, tokens_per_minute, concurrent_requests, spend_per_day, spend_per_month,
    spend_total, allowed_networks, requires_zero_retention, permissions, expires_at, created_at,
    version
"""
_INSERT: Final = f"""
INSERT INTO api_key ({KEY_COLUMNS})
VALUES (:id, :workspace_id, :display_name, :secret_hint, :secret_hash, :pepper_version,
    :previous_secret_hash, :previous_secret_expires_at, :state, :lane, :allowed_models,
    :default_model, :model_aliases, :requests_per_minute, :tokens_per_minute,
    :concurrent_requests, :spend_per_day, :spend_per_month, :spend_total, :allowed_networks,
    :requires_zero_retention, :permissions, :expires_at, :created_at, :version)
"""  # noqa: S608 constant columns
_UPDATE: Final = """
UPDATE api_key SET display_name = :display_name, secret_hint = :secret_hint,
    secret_hash = :secret_hash, pepper_version = :pepper_version,
    previous_secret_hash = :previous_secret_hash,
    previous_secret_expires_at = :previous_secret_expires_at, state = :state, lane = :lane,
    allowed_models = :allowed_models, default_model = :default_model,
    model_aliases = :model_aliases, requests_per_minute = :requests_per_minute,
    tokens_per_minute = :tokens_per_minute, concurrent_requests = :concurrent_requests,
    spend_per_day = :spend_per_day, spend_per_month = :spend_per_month,
    spend_total = :spend_total, allowed_networks = :allowed_networks,
    requires_zero_retention = :requires_zero_retention, permissions = :permissions,
    expires_at = :expires_at
 WHERE id = :id
"""
_GET: Final = f"SELECT {KEY_COLUMNS} FROM api_key WHERE id = :id"  # noqa: S608 constant columns
_LOCK: Final = f"{_GET} FOR NO KEY UPDATE"
_BY_HASH: Final = f"""
SELECT {KEY_COLUMNS} FROM api_key WHERE secret_hash = ANY(:hashes)
UNION ALL
SELECT {KEY_COLUMNS} FROM api_key
 WHERE previous_secret_hash = ANY(:hashes) AND previous_secret_expires_at > :now
LIMIT 1
"""  # noqa: S608 constant columns
_LIST: Final = f"""
SELECT {KEY_COLUMNS} FROM api_key
 WHERE workspace_id = :workspace_id AND id < :before ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 constant columns
# One statement, because the change feed's counter is locked while it runs.
_STAMP: Final = """
WITH stamped AS (
    UPDATE api_key SET version = :version WHERE id = :id RETURNING id, workspace_id
)
INSERT INTO api_key_event (key_id, version, workspace_id, kind, occurred_at, actor)
SELECT id, :version, workspace_id, :kind, :occurred_at, :actor FROM stamped
"""
_LIST_EVENTS: Final = """
SELECT key_id, version, kind, occurred_at, actor FROM api_key_event
 WHERE key_id = :id AND version < :before ORDER BY version DESC LIMIT :limit
"""
_EXPIRED: Final = """
SELECT id FROM api_key AS k
 WHERE expires_at <= :now AND state <> 3
   AND NOT EXISTS (SELECT 1 FROM api_key_event AS e
                    WHERE e.key_id = k.id AND e.kind = 7 AND e.occurred_at >= k.expires_at)
 ORDER BY expires_at LIMIT :limit
"""
_EXPIRY_RECORDED: Final = """
SELECT 1 FROM api_key_event WHERE key_id = :id AND kind = 7 AND occurred_at >= :expires_at
"""
_KNOWN_MODELS: Final = """
SELECT public_id FROM model WHERE public_id = ANY(:names)
UNION SELECT alias FROM model_alias WHERE alias = ANY(:names)
"""


async def insert_key(tx: Transaction, key: ApiKey) -> None:
    """Insert a new key."""
    await tx.run(_INSERT, **_parameters(key), created_at=key.created_at, version=0)


async def update_key(tx: Transaction, key: ApiKey) -> None:
    """Write all that may change in a key's life, except its version."""
    parameters = _parameters(key)
    del parameters["workspace_id"]
    await tx.run(_UPDATE, **parameters)


async def get_key(tx: Transaction, key_id: bytes) -> ApiKey:
    """Return a key.

    Raises:
        NotFound: there is none with this id.
    """
    return _found(await tx.one(_GET, id=to_uuid(key_id)))


async def lock_key(tx: Transaction, key_id: bytes) -> ApiKey:
    """Return a key and keep others from changing it until the end of the transaction.

    Raises:
        NotFound: there is none with this id.
    """
    return _found(await tx.one(_LOCK, id=to_uuid(key_id)))


async def find_key(tx: Transaction, hashes: Collection[bytes], now: datetime) -> ApiKey:
    """Return the key of a secret, known by its keyed hash under any pepper in use.

    Raises:
        NotFound: no key has this secret, or its grace time is over.
    """
    return _found(await tx.one(_BY_HASH, hashes=list(hashes), now=now))


async def list_keys(
    tx: Transaction, workspace_id: bytes, before: bytes, limit: int
) -> list[ApiKey]:
    """Return keys of a workspace with ids below `before`, newest first."""
    rows = await tx.all(
        _LIST, workspace_id=to_uuid(workspace_id), before=to_uuid(before), limit=limit
    )
    return [key_of(row) for row in rows]


async def stamp(
    tx: Transaction,
    key_id: bytes,
    version: int,
    *,
    kind: KeyEventKind,
    occurred_at: datetime,
    actor: str,
) -> None:
    """Give a key the version of its last change and record the step."""
    await tx.run(
        _STAMP,
        id=to_uuid(key_id),
        version=version,
        kind=int(kind),
        occurred_at=occurred_at,
        actor=actor,
    )


async def list_events(tx: Transaction, key_id: bytes, before: int, limit: int) -> list[KeyEvent]:
    """Return the steps of a key with versions below `before`, newest first."""
    rows = await tx.all(_LIST_EVENTS, id=to_uuid(key_id), before=before, limit=limit)
    return [
        KeyEvent(
            key_id=from_uuid(row.key_id),
            version=row.version,
            kind=KeyEventKind(row.kind),
            occurred_at=row.occurred_at,
            actor=row.actor,
        )
        for row in rows
    ]


async def unrecorded_expiries(tx: Transaction, now: datetime, limit: int) -> list[bytes]:
    """Return keys whose time is over and whose record does not say so yet."""
    return [from_uuid(row.id) for row in await tx.all(_EXPIRED, now=now, limit=limit)]


async def expiry_is_recorded(tx: Transaction, key: ApiKey) -> bool:
    """Say whether the record of a key says that its present time is over."""
    row = await tx.one(_EXPIRY_RECORDED, id=to_uuid(key.key_id), expires_at=key.settings.expires_at)
    return row is not None


async def unknown_models(tx: Transaction, names: Collection[str]) -> set[str]:
    """Return those of the names that are neither a public model id nor an alias."""
    if not names:
        return set()
    rows = await tx.all(_KNOWN_MODELS, names=list(names))
    return set(names) - {row.public_id for row in rows}


def key_of(row: Row[Any]) -> ApiKey:
    """Read a row that has all columns of a key."""
    previous = row.previous_secret_hash
    return ApiKey(
        key_id=from_uuid(row.id),
        workspace_id=from_uuid(row.workspace_id),
        display_name=row.display_name,
        secret_hint=row.secret_hint,
        secret_hash=bytes(row.secret_hash),
        pepper_version=row.pepper_version,
        previous_secret_hash=None if previous is None else bytes(previous),
        previous_secret_expires_at=row.previous_secret_expires_at,
        stored_state=KeyState(row.state),
        settings=_settings_of(row),
        created_at=row.created_at,
        version=row.version,
    )


def _found(row: Row[Any] | None) -> ApiKey:
    if row is None:
        raise NotFound
    return key_of(row)


def _settings_of(row: Row[Any]) -> KeySettings:
    limits = KeyLimits(**{name: getattr(row, name) for name in KeyLimits.__slots__})
    return KeySettings(
        lane=row.lane,
        allowed_models=tuple(row.allowed_models),
        default_model=row.default_model,
        model_aliases=row.model_aliases,
        limits=limits,
        expires_at=row.expires_at,
        allowed_networks=tuple(row.allowed_networks),
        requires_zero_retention=row.requires_zero_retention,
        permissions=frozenset(map(Permission, row.permissions)),
    )


def _parameters(key: ApiKey) -> dict[str, object]:
    settings = key.settings
    return {
        "id": to_uuid(key.key_id),
        "workspace_id": to_uuid(key.workspace_id),
        "display_name": key.display_name,
        "secret_hint": key.secret_hint,
        "secret_hash": key.secret_hash,
        "pepper_version": key.pepper_version,
        "previous_secret_hash": key.previous_secret_hash,
        "previous_secret_expires_at": key.previous_secret_expires_at,
        "state": int(key.stored_state),
        "lane": settings.lane,
        "allowed_models": list(settings.allowed_models),
        "default_model": settings.default_model,
        "model_aliases": Jsonb(dict(settings.model_aliases)),
        "expires_at": settings.expires_at,
        "allowed_networks": list(settings.allowed_networks),
        "requires_zero_retention": settings.requires_zero_retention,
        "permissions": sorted(map(int, settings.permissions)),
        **{name: getattr(settings.limits, name) for name in KeyLimits.__slots__},
    }

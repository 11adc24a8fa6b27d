"""Use cases of API keys.

Each step writes the key, the record of the step, an audit row and a change in one transaction, so
that every connected edge hears of it within a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from core.accounts.store import get_workspace
from core.audit import Act
from core.db.call_replay import claim_call
from core.db.database import Transaction
from core.feed import ChangeKind, record_change
from core.keyring import Keyring
from core.keys import store
from core.keys.model import (
    ApiKey,
    KeyEventKind,
    KeySettings,
    KeyState,
    check_changeable,
    checked_settings,
    moved,
)
from kit.ids import format_id
from kit.reasons import InvalidArgument, InvalidState
from kit.secret import hint_of, new_secret, secret_hash

ACTIONS: Final = {
    KeyEventKind.CREATED: "keys.CreateKey",
    KeyEventKind.UPDATED: "keys.UpdateKey",
    KeyEventKind.ROTATED: "keys.RotateKey",
    KeyEventKind.DISABLED: "keys.DisableKey",
    KeyEventKind.ENABLED: "keys.EnableKey",
    KeyEventKind.REVOKED: "keys.RevokeKey",
    KeyEventKind.EXPIRED: "keys.expired",
}


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key and, once, its secret; empty when an earlier answer is repeated."""

    key: ApiKey
    secret: str = field(repr=False)


async def create_key(
    tx: Transaction,
    act: Act,
    peppers: Keyring,
    *,
    request_id: str,
    workspace_id: bytes,
    display_name: str,
    settings: KeySettings,
) -> ShownKey:
    """Create a key; the same request id answers the same key without its secret.

    Raises:
        NotFound, InvalidArgument, RequestIdReused
    """
    key_id = act.ids.new()
    first = await claim_call(
        tx,
        method=ACTIONS[KeyEventKind.CREATED],
        request_id=request_id,
        content={
            "workspace_id": workspace_id,
            "display_name": display_name,
            "settings": settings.canonical(),
        },
        object_id=key_id,
        now=act.now,
    )
    if first is not None:
        return ShownKey(await store.get_key(tx, first), "")
    await get_workspace(tx, workspace_id)
    secret = new_secret()
    version, pepper = peppers.newest
    key = ApiKey(
        key_id=key_id,
        workspace_id=workspace_id,
        display_name=display_name,
        secret_hint=hint_of(secret),
        secret_hash=secret_hash(secret, pepper),
        pepper_version=version,
        previous_secret_hash=None,
        previous_secret_expires_at=None,
        stored_state=KeyState.ACTIVE,
        settings=await _checked(tx, settings, act.now),
        created_at=act.now,
        version=0,
    )
    await store.insert_key(tx, key)
    return ShownKey(await _recorded(tx, act, key, KeyEventKind.CREATED), secret)


async def update_key(
    tx: Transaction,
    act: Act,
    key_id: bytes,
    *,
    display_name: str,
    settings: KeySettings,
    expected_version: int,
) -> ApiKey:
    """Change a key's name and settings as a whole; 0 expects no certain version.

    Raises:
        NotFound, InvalidArgument
        InvalidState: the key is revoked, or was changed since it was read.
    """
    key = await store.lock_key(tx, key_id)
    check_changeable(key.stored_state)
    if expected_version not in (0, key.version):
        raise InvalidState(version=key.version)
    checked = await _checked(tx, settings, act.now)
    changed = replace(key, display_name=display_name, settings=checked)
    await store.update_key(tx, changed)
    return await _recorded(tx, act, changed, KeyEventKind.UPDATED)


async def rotate_key(
    tx: Transaction,
    act: Act,
    peppers: Keyring,
    *,
    request_id: str,
    key_id: bytes,
    grace_seconds: int,
) -> ShownKey:
    """Give a key a new secret; the one before works for the grace time, older ones no more.

    Raises:
        NotFound, RequestIdReused
        InvalidState: the key is revoked.
    """
    first = await claim_call(
        tx,
        method=ACTIONS[KeyEventKind.ROTATED],
        request_id=request_id,
        content={"key_id": key_id, "grace_seconds": grace_seconds},
        object_id=key_id,
        now=act.now,
    )
    key = await store.lock_key(tx, key_id)
    if first is not None:
        return ShownKey(key, "")
    check_changeable(key.stored_state)
    secret = new_secret()
    changed = _with_secret(key, secret, peppers, act.now + timedelta(seconds=grace_seconds))
    if not grace_seconds:
        changed = _without_previous(changed)
    await store.update_key(tx, changed)
    return ShownKey(await _recorded(tx, act, changed, KeyEventKind.ROTATED), secret)


async def move_key(tx: Transaction, act: Act, key_id: bytes, step: KeyEventKind) -> ApiKey:
    """Disable, enable or revoke a key. Repeating a step changes nothing and is no error.

    Raises:
        NotFound
        InvalidState: the key is revoked, so it cannot be disabled or enabled.
    """
    key = await store.lock_key(tx, key_id)
    state = moved(key.stored_state, step)
    if state is key.stored_state:
        return key
    changed = replace(key, stored_state=state)
    if state is KeyState.REVOKED:
        changed = _without_previous(changed)
    await store.update_key(tx, changed)
    return await _recorded(tx, act, changed, step)


async def record_expiry(tx: Transaction, act: Act, key_id: bytes) -> None:
    """Write down that a key's time is over; it stopped working at that instant already."""
    key = await store.lock_key(tx, key_id)
    if key.state(act.now) is KeyState.EXPIRED and not await store.expiry_is_recorded(tx, key):
        await _recorded(tx, act, key, KeyEventKind.EXPIRED)


def _with_secret(key: ApiKey, secret: str, peppers: Keyring, old_until: datetime) -> ApiKey:
    version, pepper = peppers.newest
    return replace(
        key,
        secret_hint=hint_of(secret),
        secret_hash=secret_hash(secret, pepper),
        pepper_version=version,
        previous_secret_hash=key.secret_hash,
        previous_secret_expires_at=old_until,
    )


def _without_previous(key: ApiKey) -> ApiKey:
    return replace(key, previous_secret_hash=None, previous_secret_expires_at=None)


async def _checked(tx: Transaction, settings: KeySettings, now: datetime) -> KeySettings:
    checked = checked_settings(settings, now)
    if await store.unknown_models(tx, checked.models()):
        raise InvalidArgument(fields="settings.models")
    return checked


async def _recorded(tx: Transaction, act: Act, key: ApiKey, kind: KeyEventKind) -> ApiKey:
    await act.audit(tx, ACTIONS[kind], format_id("key", key.key_id), key.workspace_id)
    version = await record_change(tx, ChangeKind.KEY, key.key_id, now=act.now)
    await store.stamp(tx, key.key_id, version, kind=kind, occurred_at=act.now, actor=act.actor)
    return replace(key, version=version)

"""API keys through their life: what each step may do, and that each leaves its traces."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import exc

from core.accounts import service as accounts
from core.accounts.model import Workspace
from core.db import call_replay
from core.keyring import Keyring
from core.keys import service, store
from core.keys.expiry import record_expiries
from core.keys.model import (
    ApiKey,
    KeyEventKind,
    KeyLimits,
    KeySettings,
    KeyState,
    Permission,
)
from core.keys.service import ShownKey
from kit.clock import now
from kit.reasons import InvalidArgument, InvalidState, NotFound, RequestIdReused
from kit.secret import is_well_formed, secret_hash
from tests.integration.core.conftest import World

PEPPERS = Keyring({1: b"o" * 32, 2: b"n" * 32})


@pytest.fixture
async def workspace(world: World) -> Workspace:
    """A workspace to own keys."""
    return await new_workspace(world, "request-ws")


async def new_workspace(world: World, request_id: str) -> Workspace:
    """Create a workspace."""
    async with world.pool.transaction("system") as tx:
        workspace = await accounts.create_workspace(
            tx, world.act(), request_id=request_id, display_name="Example", default_lane=0
        )
        await tx.commit()
    return workspace


async def create(
    world: World,
    workspace: Workspace,
    settings: KeySettings | None = None,
    request_id: str = "request-key",
) -> ShownKey:
    """Create a key."""
    async with world.pool.transaction("system") as tx:
        shown = await service.create_key(
            tx,
            world.act(),
            PEPPERS,
            request_id=request_id,
            workspace_id=workspace.workspace_id,
            display_name="A key",
            settings=settings or KeySettings(),
        )
        await tx.commit()
    return shown


async def move(world: World, key: ApiKey, step: KeyEventKind) -> ApiKey:
    """Disable, enable or revoke."""
    async with world.pool.transaction("system") as tx:
        moved = await service.move_key(tx, world.act(), key.key_id, step)
        await tx.commit()
    return moved


async def rotate(
    world: World, key: ApiKey, grace_seconds: int, request_id: str = "request-rotate"
) -> ShownKey:
    """Give a key a new secret."""
    async with world.pool.transaction("system") as tx:
        shown = await service.rotate_key(
            tx,
            world.act(),
            PEPPERS,
            request_id=request_id,
            key_id=key.key_id,
            grace_seconds=grace_seconds,
        )
        await tx.commit()
    return shown


async def update(
    world: World, key: ApiKey, settings: KeySettings, expected_version: int = 0
) -> ApiKey:
    """Change a key."""
    async with world.pool.transaction("system") as tx:
        changed = await service.update_key(
            tx,
            world.act(),
            key.key_id,
            display_name="Changed",
            settings=settings,
            expected_version=expected_version,
        )
        await tx.commit()
    return changed


async def kinds(world: World, key: ApiKey) -> list[KeyEventKind]:
    """The steps of a key's life, oldest first."""
    async with world.pool.transaction("system") as tx:
        events = await store.list_events(tx, key.key_id, 2**63 - 1, 100)
    return [event.kind for event in reversed(events)]


async def test_a_new_key_works_and_its_secret_is_well_formed(
    world: World, workspace: Workspace
) -> None:
    """The secret is shown once and kept as a hash under the newest pepper."""
    shown = await create(world, workspace)
    assert is_well_formed(shown.secret)
    assert shown.key.secret_hash == secret_hash(shown.secret, PEPPERS.by_version[2])
    assert shown.key.state(now(world.clock)) is KeyState.ACTIVE


async def test_a_repeated_call_answers_the_same_key_without_the_secret(
    world: World, workspace: Workspace
) -> None:
    """A client that lost the answer learns which key it made, but not the secret again."""
    first = await create(world, workspace)
    again = await create(world, workspace)
    assert again.key == first.key
    assert again.secret == ""


async def test_a_request_id_cannot_be_used_for_something_else(
    world: World, workspace: Workspace
) -> None:
    """The same id with other content is a mistake of the caller."""
    await create(world, workspace)
    with pytest.raises(RequestIdReused):
        await create(world, workspace, KeySettings(lane=2))


async def test_a_key_needs_a_workspace(world: World, workspace: Workspace) -> None:
    """No key without an owner."""
    with pytest.raises(NotFound):
        await create(world, replace(workspace, workspace_id=bytes(16)))


@pytest.mark.parametrize("step", list(KeyEventKind)[3:6])
async def test_every_step_is_recorded_audited_and_fed(
    world: World, workspace: Workspace, step: KeyEventKind
) -> None:
    """The key, the event, the audit row and the change carry one version, in one transaction."""
    key = (await create(world, workspace)).key
    if step is KeyEventKind.ENABLED:
        key = await move(world, key, KeyEventKind.DISABLED)
    moved = await move(world, key, step)
    async with world.pool.transaction("system") as tx:
        change = await tx.one("SELECT * FROM change_log ORDER BY sequence DESC LIMIT 1")
        event = await tx.one("SELECT * FROM api_key_event ORDER BY version DESC LIMIT 1")
        audit = await tx.one("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")
    assert change is not None
    assert event is not None
    assert audit is not None
    assert change.object_id.bytes == key.key_id
    assert change.sequence == event.version == moved.version
    assert event.kind == step
    assert (audit.actor, audit.action) == ("operator", service.ACTIONS[step])
    assert audit.object_id == f"key_{key.key_id.hex()}"


async def test_a_disabled_key_can_be_enabled(world: World, workspace: Workspace) -> None:
    """Disabling is no farewell."""
    key = (await create(world, workspace)).key
    assert (await move(world, key, KeyEventKind.DISABLED)).stored_state is KeyState.DISABLED
    assert (await move(world, key, KeyEventKind.ENABLED)).stored_state is KeyState.ACTIVE


async def test_repeating_a_step_changes_nothing(world: World, workspace: Workspace) -> None:
    """The second call finds its wish fulfilled: no event, no version, no error."""
    key = (await create(world, workspace)).key
    first = await move(world, key, KeyEventKind.DISABLED)
    assert await move(world, key, KeyEventKind.DISABLED) == first
    assert await kinds(world, key) == [KeyEventKind.CREATED, KeyEventKind.DISABLED]


@pytest.mark.parametrize("step", [KeyEventKind.DISABLED, KeyEventKind.ENABLED])
async def test_a_revoked_key_never_works_again(
    world: World, workspace: Workspace, step: KeyEventKind
) -> None:
    """Revoking is for good."""
    key = (await create(world, workspace)).key
    await move(world, key, KeyEventKind.REVOKED)
    with pytest.raises(InvalidState):
        await move(world, key, step)


async def test_a_revoked_key_can_be_neither_changed_nor_rotated(
    world: World, workspace: Workspace
) -> None:
    """Nothing brings it back."""
    key = (await create(world, workspace)).key
    await move(world, key, KeyEventKind.REVOKED)
    with pytest.raises(InvalidState):
        await update(world, key, KeySettings())
    with pytest.raises(InvalidState):
        await rotate(world, key, 60)


async def test_after_a_rotation_both_secrets_work_until_the_grace_ends(
    world: World, workspace: Workspace
) -> None:
    """Programs have time to change their secret."""
    before = await create(world, workspace)
    after = await rotate(world, before.key, 60)
    moment = now(world.clock)
    assert after.key.secret_hash != before.key.secret_hash
    assert after.key.previous_secret(moment) == (
        before.key.secret_hash,
        moment + timedelta(seconds=60),
    )
    assert after.key.previous_secret(moment + timedelta(seconds=60)) is None


async def test_a_rotation_without_grace_ends_the_old_secret_at_once(
    world: World, workspace: Workspace
) -> None:
    """For a secret that leaked."""
    key = (await create(world, workspace)).key
    rotated = (await rotate(world, key, 0)).key
    assert rotated.previous_secret_hash is None


async def test_revoking_ends_a_grace_time_too(world: World, workspace: Workspace) -> None:
    """No secret of a revoked key works."""
    key = (await create(world, workspace)).key
    await rotate(world, key, 3_600)
    assert (await move(world, key, KeyEventKind.REVOKED)).previous_secret_hash is None


async def test_a_repeated_rotation_rotates_once(world: World, workspace: Workspace) -> None:
    """A resent call must not end the secret that its first answer showed."""
    key = (await create(world, workspace)).key
    first = await rotate(world, key, 60)
    again = await rotate(world, key, 60)
    assert again.secret == ""
    assert again.key.secret_hash == first.key.secret_hash


async def test_an_update_checks_the_version_that_was_read(
    world: World, workspace: Workspace
) -> None:
    """Two people who change a key at the same time do not overwrite each other unseen."""
    key = (await create(world, workspace)).key
    await update(world, key, KeySettings(lane=2), expected_version=key.version)
    with pytest.raises(InvalidState):
        await update(world, key, KeySettings(lane=3), expected_version=key.version)


async def test_settings_come_back_as_they_were_given(world: World, workspace: Workspace) -> None:
    """Lane, limits, networks and expiry survive the database; networks in their usual form."""
    expires_at = now(world.clock) + timedelta(days=1)
    settings = KeySettings(
        lane=3,
        limits=KeyLimits(requests_per_minute=5, spend_total=10**12),
        expires_at=expires_at,
        allowed_networks=("10.0.0.7/8", "2001:db8::1"),
    )
    key = (await create(world, workspace, settings)).key
    async with world.pool.transaction("system") as tx:
        found = (await store.get_key(tx, key.key_id)).settings
    assert found == replace(settings, allowed_networks=("10.0.0.0/8", "2001:db8::1/128"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (KeySettings(allowed_models=("no-such-model",)), "settings.models"),
        (KeySettings(default_model="no-such-model"), "settings.models"),
        (KeySettings(model_aliases={"bad alias": "x"}), "settings.model_aliases"),
        (KeySettings(allowed_networks=("home",)), "settings.allowed_networks"),
        (KeySettings(lane=9), "settings.lane"),
        (KeySettings(limits=KeyLimits(spend_total=-1)), "settings.limits.spend_total"),
    ],
)
async def test_wrong_settings_are_refused_by_field(
    world: World, workspace: Workspace, settings: KeySettings, field: str
) -> None:
    """The answer names the field and repeats no value."""
    with pytest.raises(InvalidArgument) as caught:
        await create(world, workspace, settings)
    assert caught.value.metadata == {"fields": field}


async def test_a_key_expires_on_read_at_its_instant(world: World, workspace: Workspace) -> None:
    """No job is needed for a key to stop working."""
    expires_at = now(world.clock) + timedelta(hours=1)
    key = (await create(world, workspace, KeySettings(expires_at=expires_at))).key
    assert key.state(expires_at - timedelta(microseconds=1)) is KeyState.ACTIVE
    assert key.state(expires_at) is KeyState.EXPIRED


async def test_an_expiry_is_recorded_once(world: World, workspace: Workspace) -> None:
    """The record of the key's life says that its time ran out, however often the loop runs."""
    expires_at = now(world.clock) + timedelta(hours=1)
    key = (await create(world, workspace, KeySettings(expires_at=expires_at))).key
    assert await record_expiries(world.pool, world.act("core")) == 0
    world.clock.move(hours=2)
    assert await record_expiries(world.pool, world.act("core")) == 1
    assert await record_expiries(world.pool, world.act("core")) == 0
    assert await kinds(world, key) == [KeyEventKind.CREATED, KeyEventKind.EXPIRED]


async def test_of_two_cores_that_saw_an_expiry_one_records_it(
    world: World, workspace: Workspace
) -> None:
    """Both may have found the key before either wrote."""
    expires_at = now(world.clock) + timedelta(hours=1)
    key = (await create(world, workspace, KeySettings(expires_at=expires_at))).key
    world.clock.move(hours=2)
    for _ in range(2):
        async with world.pool.transaction("system") as tx:
            await service.record_expiry(tx, world.act("core"), key.key_id)
            await tx.commit()
    assert await kinds(world, key) == [KeyEventKind.CREATED, KeyEventKind.EXPIRED]


async def test_an_expired_key_works_again_with_a_later_expiry(
    world: World, workspace: Workspace
) -> None:
    """Its owner may give it more time, unless it was revoked."""
    expires_at = now(world.clock) + timedelta(hours=1)
    key = (await create(world, workspace, KeySettings(expires_at=expires_at))).key
    world.clock.move(hours=2)
    await record_expiries(world.pool, world.act("core"))
    later = KeySettings(expires_at=now(world.clock) + timedelta(hours=1))
    assert (await update(world, key, later)).state(now(world.clock)) is KeyState.ACTIVE


async def test_another_tenant_sees_no_key(world: World, workspace: Workspace) -> None:
    """Row-level security: not even a query by id crosses workspaces."""
    key = (await create(world, workspace)).key
    other = await new_workspace(world, "request-other")
    async with world.pool.transaction("app", other.workspace_id) as tx:
        with pytest.raises(NotFound):
            await store.get_key(tx, key.key_id)
    async with world.pool.transaction("app", workspace.workspace_id) as tx:
        assert (await store.get_key(tx, key.key_id)).key_id == key.key_id


async def test_app_changes_no_key(world: World, workspace: Workspace) -> None:
    """A tenant's reads cannot write."""
    key = (await create(world, workspace)).key
    with pytest.raises(exc.ProgrammingError):
        async with world.pool.transaction("app", workspace.workspace_id) as tx:
            await store.update_key(tx, key)


async def test_suspending_a_workspace_changes_its_version_and_feeds_it(world: World) -> None:
    """Its keys' grants follow, because their version is never below the workspace's."""
    workspace = await new_workspace(world, "request-suspend")
    async with world.pool.transaction("system") as tx:
        suspended = await accounts.suspend_workspace(tx, world.act(), workspace.workspace_id)
        await tx.commit()
    assert suspended.version > workspace.version
    async with world.pool.transaction("system") as tx:
        change = await tx.one("SELECT * FROM change_log ORDER BY sequence DESC LIMIT 1")
    assert change is not None
    assert (change.kind, change.sequence) == (2, suspended.version)


async def test_creating_a_workspace_twice_makes_one_with_one_wallet(world: World) -> None:
    """The same request id answers the same workspace."""
    first = await new_workspace(world, "request-twice")
    assert await new_workspace(world, "request-twice") == first
    async with world.pool.transaction("system") as tx:
        wallets = await tx.all("SELECT workspace_id FROM wallet")
    assert [row.workspace_id.bytes for row in wallets] == [first.workspace_id]


async def test_a_call_is_replayed_for_a_day_and_forgotten_after_two(world: World) -> None:
    """The table stays small; a caller that repeats within the promised time gets its answer."""
    workspace = await new_workspace(world, "request-replayed")
    for hours, same in ((25, True), (24, False)):
        world.clock.move(hours=hours)
        async with world.pool.transaction("system") as tx:
            await call_replay.sweep(tx, now(world.clock))
            await tx.commit()
        again = await new_workspace(world, "request-replayed")
        assert (again.workspace_id == workspace.workspace_id) is same


async def test_permissions_come_and_go(world: World, workspace: Workspace) -> None:
    """A key has none unless it is given some; they are part of what a repeated call must match."""
    plain = await create(world, workspace)
    assert plain.key.settings.permissions == frozenset()
    may = KeySettings(permissions=frozenset({Permission.ARCHIVES_DOWNLOAD}))
    with pytest.raises(RequestIdReused):
        await create(world, workspace, may)
    shown = await create(world, workspace, may, request_id="request-other")
    async with world.pool.transaction("system") as tx:
        assert await store.get_key(tx, shown.key.key_id) == shown.key
        taken = await service.update_key(
            tx,
            world.act(),
            shown.key.key_id,
            display_name="A key",
            settings=KeySettings(),
            expected_version=0,
        )
        await tx.commit()
    assert taken.settings.permissions == frozenset()
    assert Permission.ARCHIVES_DOWNLOAD.word == "archives.download"

"""Grants: what an edge is told of a key, whichever way it changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.accounts.model import WorkspaceState
from core.admission.grants import GrantSource, grant_message
from core.keys.model import ApiKey, KeySettings, KeyState
from oneapi.admission.v1.grant_pb2 import Grant
from oneapi.common.v1.lane_pb2 import Lane

NOW = datetime(2027, 1, 15, tzinfo=UTC)


def source(
    settings: KeySettings | None = None,
    *,
    state: KeyState = KeyState.ACTIVE,
    workspace: WorkspaceState = WorkspaceState.ACTIVE,
    previous_until: datetime | None = None,
) -> GrantSource:
    """A key of version 5 in a workspace of version 3."""
    key = ApiKey(
        key_id=b"k" * 16,
        workspace_id=b"w" * 16,
        display_name="A key",
        secret_hint="1ac_live_abcd",
        secret_hash=b"h" * 32,
        pepper_version=1,
        previous_secret_hash=None if previous_until is None else b"o" * 32,
        previous_secret_expires_at=previous_until,
        stored_state=state,
        settings=settings or KeySettings(),
        created_at=NOW,
        version=5,
    )
    return GrantSource(key, workspace, default_lane=2, workspace_version=3)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (source, Grant.STATE_ACTIVE),
        (lambda: source(state=KeyState.DISABLED), Grant.STATE_KEY_DISABLED),
        (lambda: source(state=KeyState.REVOKED), Grant.STATE_KEY_REVOKED),
        (lambda: source(KeySettings(expires_at=NOW)), Grant.STATE_KEY_EXPIRED),
        (lambda: source(workspace=WorkspaceState.CLOSED), Grant.STATE_WORKSPACE_NOT_ACTIVE),
        (lambda: source(workspace=WorkspaceState.SUSPENDED), Grant.STATE_WORKSPACE_NOT_ACTIVE),
    ],
)
def test_a_grant_says_why_it_is_refused(
    given: Callable[[], GrantSource], state: Grant.State.ValueType
) -> None:
    """The key's own state goes before its workspace's."""
    assert grant_message(given(), NOW).state == state


def test_a_grants_version_is_the_later_of_key_and_workspace() -> None:
    """So that a change of either replaces what an edge has."""
    given = source()
    assert grant_message(given, NOW).version == 5
    later = GrantSource(given.key, given.workspace_state, 2, workspace_version=9)
    assert grant_message(later, NOW).version == 9


def test_the_lane_is_the_keys_else_its_workspaces() -> None:
    """The request's own choice comes at the edge."""
    assert grant_message(source(KeySettings(lane=3)), NOW).lane == Lane.LANE_CODING
    assert grant_message(source(), NOW).lane == Lane.LANE_ECONOMY


def test_models_are_told_by_name() -> None:
    """What a name stands for is the catalogue's: it may change while an edge keeps the grant."""
    settings = KeySettings(
        allowed_models=("m-one", "m-two"),
        default_model="m-two",
        model_aliases={"mine": "m-one"},
    )
    grant = grant_message(source(settings), NOW)
    assert list(grant.allowed_models) == ["m-one", "m-two"]
    assert grant.default_model == "m-two"
    assert [(alias.alias, alias.model) for alias in grant.aliases] == [("mine", "m-one")]


def test_in_its_grace_time_the_old_secret_is_told_with_its_end() -> None:
    """The edge ends it by itself, to the microsecond."""
    end = NOW + timedelta(seconds=1)
    first, second = grant_message(source(previous_until=end), NOW).secrets
    assert (first.secret_hash, first.expires_at_micros) == (b"h" * 32, 0)
    assert second.secret_hash == b"o" * 32
    assert second.expires_at_micros == int(end.timestamp()) * 1_000_000
    assert len(grant_message(source(previous_until=NOW), NOW).secrets) == 1


@pytest.mark.parametrize("key", [False, True])
@pytest.mark.parametrize("workspace", [False, True])
def test_zero_retention_is_required_if_the_key_or_its_workspace_does(
    *, key: bool, workspace: bool
) -> None:
    """A key cannot be laxer than its workspace."""
    given = source(KeySettings(requires_zero_retention=key))
    given = replace(given, requires_zero_retention=workspace)
    assert grant_message(given, NOW).requires_zero_retention == (key or workspace)


def test_origins_are_the_workspaces() -> None:
    """All keys of a workspace may be used from the same pages."""
    origins = ("https://a.example", "https://b.example")
    assert list(grant_message(source(), NOW).cors_origins) == []
    given = replace(source(), cors_origins=origins)
    assert tuple(grant_message(given, NOW).cors_origins) == origins

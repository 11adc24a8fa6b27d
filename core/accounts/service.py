"""Use cases of workspaces. Each writes its row, an audit row and a change in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from core.accounts import store
from core.accounts.model import (
    NO_LIMITS,
    SpendLimits,
    Workspace,
    WorkspaceState,
    check_changeable,
    moved,
)
from core.accounts.origins import checked_origins
from core.audit import Act
from core.db.call_replay import claim_call
from core.db.database import Transaction
from core.feed import ChangeKind, record_change
from core.ledger.wallets import open_wallet
from kit.canonical import Canonical
from kit.ids import format_id
from kit.reasons import InvalidState
from oneapi.common.v1.lane_pb2 import Lane


async def create_workspace(
    tx: Transaction,
    act: Act,
    *,
    request_id: str,
    display_name: str,
    default_lane: int,
    requires_zero_retention: bool = False,
    cors_origins: Sequence[str] = (),
    spend_limits: SpendLimits = NO_LIMITS,
) -> Workspace:
    """Create a workspace with its empty wallet; the same request id answers the same workspace.

    Raises:
        InvalidArgument
        RequestIdReused: the request id was used with other content.
    """
    workspace = Workspace(
        workspace_id=act.ids.new(),
        display_name=display_name,
        state=WorkspaceState.ACTIVE,
        default_lane=default_lane or Lane.LANE_DEFAULT,
        created_at=act.now,
        version=0,
        requires_zero_retention=requires_zero_retention,
        cors_origins=checked_origins(cors_origins),
        spend_limits=spend_limits.checked(),
    )
    content: dict[str, Canonical] = {"display_name": display_name, "default_lane": default_lane}
    # Only where they are set: calls from before there were any replay their answers.
    if requires_zero_retention:
        content["requires_zero_retention"] = True
    if workspace.cors_origins:
        content["cors_origins"] = workspace.cors_origins
    if spend_limits != NO_LIMITS:
        content["spend_limits"] = asdict(spend_limits)
    first = await claim_call(
        tx,
        method="accounts.CreateWorkspace",
        request_id=request_id,
        content=content,
        object_id=workspace.workspace_id,
        now=act.now,
    )
    if first is not None:
        return await store.get_workspace(tx, first)
    await store.insert_workspace(tx, workspace)
    await open_wallet(tx, workspace.workspace_id)
    return await _recorded(tx, act, "accounts.CreateWorkspace", workspace)


async def update_workspace(  # noqa: PLR0913 - the settings as a whole
    tx: Transaction,
    act: Act,
    workspace_id: bytes,
    *,
    display_name: str,
    default_lane: int,
    requires_zero_retention: bool,
    cors_origins: Sequence[str],
    spend_limits: SpendLimits,
    expected_version: int,
) -> Workspace:
    """Change a workspace's name and settings as a whole; 0 expects no certain version.

    Raises:
        NotFound, InvalidArgument
        InvalidState: the workspace is closed, or was changed since it was read.
    """
    workspace = await store.lock_workspace(tx, workspace_id)
    check_changeable(workspace.state)
    if expected_version not in (0, workspace.version):
        raise InvalidState(version=workspace.version)
    changed = replace(
        workspace,
        display_name=display_name,
        default_lane=default_lane or Lane.LANE_DEFAULT,
        requires_zero_retention=requires_zero_retention,
        cors_origins=checked_origins(cors_origins),
        spend_limits=spend_limits.checked(),
    )
    await store.update_workspace(tx, changed)
    return await _recorded(tx, act, "accounts.UpdateWorkspace", changed)


async def suspend_workspace(tx: Transaction, act: Act, workspace_id: bytes) -> Workspace:
    """Stop serving a workspace; edges hear of it through the change feed.

    Raises:
        NotFound, InvalidState
    """
    return await _move(tx, act, workspace_id, WorkspaceState.SUSPENDED)


async def resume_workspace(tx: Transaction, act: Act, workspace_id: bytes) -> Workspace:
    """Serve a suspended workspace again.

    Raises:
        NotFound, InvalidState
    """
    return await _move(tx, act, workspace_id, WorkspaceState.ACTIVE)


async def _move(
    tx: Transaction, act: Act, workspace_id: bytes, target: WorkspaceState
) -> Workspace:
    workspace = await store.lock_workspace(tx, workspace_id)
    state = moved(workspace.state, target)
    if state is workspace.state:
        return workspace
    await store.set_state(tx, workspace_id, state)
    verb = "Suspend" if state is WorkspaceState.SUSPENDED else "Resume"
    changed = replace(workspace, state=state)
    return await _recorded(tx, act, f"accounts.{verb}Workspace", changed)


async def _recorded(tx: Transaction, act: Act, action: str, workspace: Workspace) -> Workspace:
    workspace_id = workspace.workspace_id
    await act.audit(tx, action, format_id("ws", workspace_id), workspace_id)
    version = await record_change(tx, ChangeKind.WORKSPACE, workspace_id, now=act.now)
    await store.stamp(tx, workspace_id, version)
    return replace(workspace, version=version)

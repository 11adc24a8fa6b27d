"""Use cases of workspaces. Each writes its row, an audit row and a change in one transaction."""

from __future__ import annotations

from dataclasses import replace

from core.accounts import store
from core.accounts.model import Workspace, WorkspaceState, moved
from core.audit import Act
from core.db.call_replay import claim_call
from core.db.database import Transaction
from core.feed import ChangeKind, record_change
from core.ledger.wallets import open_wallet
from kit.ids import format_id
from oneapi.common.v1.lane_pb2 import Lane


async def create_workspace(
    tx: Transaction, act: Act, *, request_id: str, display_name: str, default_lane: int
) -> Workspace:
    """Create a workspace with its empty wallet; the same request id answers the same workspace.

    Raises:
        RequestIdReused: the request id was used with other content.
    """
    workspace = Workspace(
        workspace_id=act.ids.new(),
        display_name=display_name,
        state=WorkspaceState.ACTIVE,
        default_lane=default_lane or Lane.LANE_DEFAULT,
        created_at=act.now,
        version=0,
    )
    first = await claim_call(
        tx,
        method="accounts.CreateWorkspace",
        request_id=request_id,
        content={"display_name": display_name, "default_lane": default_lane},
        object_id=workspace.workspace_id,
        now=act.now,
    )
    if first is not None:
        return await store.get_workspace(tx, first)
    await store.insert_workspace(tx, workspace)
    await open_wallet(tx, workspace.workspace_id)
    return await _recorded(tx, act, "accounts.CreateWorkspace", workspace)


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

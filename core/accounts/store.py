"""All SQL of workspaces."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from core.accounts.model import SpendLimits, Workspace, WorkspaceState
from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from kit.reasons import NotFound

_COLUMNS: Final = (
    "id, display_name, state, default_lane, created_at, version, requires_zero_retention,"
    " cors_origins, spend_day_nanos, spend_month_nanos, spend_life_nanos"
)
_INSERT: Final = """
INSERT INTO workspace (id, display_name, state, default_lane, created_at, version,
    requires_zero_retention, cors_origins, spend_day_nanos, spend_month_nanos, spend_life_nanos)
VALUES (:id, :display_name, :state, :default_lane, :created_at, 0, :requires_zero_retention,
    :cors_origins, :spend_day, :spend_month, :spend_life)
"""
_GET: Final = f"SELECT {_COLUMNS} FROM workspace WHERE id = :id"  # noqa: S608 constant columns
_LOCK: Final = f"{_GET} FOR NO KEY UPDATE"
_LIST: Final = f"""
SELECT {_COLUMNS} FROM workspace WHERE id < :before ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 constant columns
_UPDATE: Final = """
UPDATE workspace SET display_name = :display_name, default_lane = :default_lane,
    requires_zero_retention = :requires_zero_retention, cors_origins = :cors_origins,
    spend_day_nanos = :spend_day, spend_month_nanos = :spend_month,
    spend_life_nanos = :spend_life
 WHERE id = :id
"""
_SET_STATE: Final = "UPDATE workspace SET state = :state WHERE id = :id"
_STAMP: Final = "UPDATE workspace SET version = :version WHERE id = :id"


async def insert_workspace(tx: Transaction, workspace: Workspace) -> None:
    """Insert a new workspace."""
    await tx.run(
        _INSERT,
        state=int(workspace.state),
        created_at=workspace.created_at,
        **_changeable(workspace),
    )


async def update_workspace(tx: Transaction, workspace: Workspace) -> None:
    """Write a workspace's name and settings."""
    await tx.run(_UPDATE, **_changeable(workspace))


async def get_workspace(tx: Transaction, workspace_id: bytes) -> Workspace:
    """Return a workspace.

    Raises:
        NotFound: there is none with this id.
    """
    return _found(await tx.one(_GET, id=to_uuid(workspace_id)))


async def lock_workspace(tx: Transaction, workspace_id: bytes) -> Workspace:
    """Return a workspace and keep others from changing it until the end of the transaction.

    Raises:
        NotFound: there is none with this id.
    """
    return _found(await tx.one(_LOCK, id=to_uuid(workspace_id)))


async def list_workspaces(tx: Transaction, before: bytes, limit: int) -> list[Workspace]:
    """Return workspaces with ids below `before`, newest first."""
    rows = await tx.all(_LIST, before=to_uuid(before), limit=limit)
    return [_workspace(row) for row in rows]


async def set_state(tx: Transaction, workspace_id: bytes, state: WorkspaceState) -> None:
    """Change a workspace's state."""
    await tx.run(_SET_STATE, id=to_uuid(workspace_id), state=int(state))


async def stamp(tx: Transaction, workspace_id: bytes, version: int) -> None:
    """Give a workspace the version of its last change."""
    await tx.run(_STAMP, id=to_uuid(workspace_id), version=version)


def _changeable(workspace: Workspace) -> dict[str, object]:
    return {
        "id": to_uuid(workspace.workspace_id),
        "display_name": workspace.display_name,
        "default_lane": workspace.default_lane,
        "requires_zero_retention": workspace.requires_zero_retention,
        "cors_origins": list(workspace.cors_origins),
        "spend_day": workspace.spend_limits.per_day or None,
        "spend_month": workspace.spend_limits.per_month or None,
        "spend_life": workspace.spend_limits.total or None,
    }


def _found(row: Row[Any] | None) -> Workspace:
    if row is None:
        raise NotFound
    return _workspace(row)


def _workspace(row: Row[Any]) -> Workspace:
    return Workspace(
        workspace_id=from_uuid(row.id),
        display_name=row.display_name,
        state=WorkspaceState(row.state),
        default_lane=row.default_lane,
        created_at=row.created_at,
        version=row.version,
        requires_zero_retention=row.requires_zero_retention,
        cors_origins=tuple(row.cors_origins),
        spend_limits=SpendLimits(
            row.spend_day_nanos or 0, row.spend_month_nanos or 0, row.spend_life_nanos or 0
        ),
    )

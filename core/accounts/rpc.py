"""WorkspaceService: between messages and use cases, nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.accounts import service, store
from core.accounts.model import SpendLimits, Workspace
from core.audit import Act
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.feed.busy_counter import repeat_while_busy
from core.timestamps import to_timestamp
from kit.clock import Clock
from kit.ids import IdSource, format_id, parse_id
from kit.reasons import InvalidArgument
from kit.rpc.server import Service
from oneapi.accounts.v1 import workspace_pb2, workspace_service_pb2_grpc
from oneapi.accounts.v1 import workspace_service_pb2 as pb
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.common.v1.money_pb2 import Money

NAME = "oneapi.accounts.v1.WorkspaceService"
_OPERATOR = frozenset({"operator"})
_READERS = frozenset({"operator", "finance"})
ALLOWED = {
    "CreateWorkspace": _OPERATOR,
    "GetWorkspace": _READERS,
    "ListWorkspaces": _READERS,
    "UpdateWorkspace": _OPERATOR,
    "SuspendWorkspace": _OPERATOR,
    "ResumeWorkspace": _OPERATOR,
}


class WorkspaceServicer(workspace_service_pb2_grpc.WorkspaceServiceServicer):
    """Serves workspaces to operators."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource) -> None:
        """Work on the pool's database."""
        self._pool = pool
        self._clock = clock
        self._ids = ids

    @repeat_while_busy
    async def CreateWorkspace(
        self, request: pb.CreateWorkspaceRequest, context: Any
    ) -> pb.CreateWorkspaceResponse:
        """Create a workspace and its wallet."""
        async with self._pool.transaction("system") as tx:
            workspace = await service.create_workspace(
                tx,
                self._act(),
                request_id=request.request_id,
                display_name=request.display_name,
                default_lane=_checked_lane(request.default_lane),
                requires_zero_retention=request.requires_zero_retention,
                cors_origins=request.cors_origins,
                spend_limits=_spend_limits(request.spend_limits),
            )
            await tx.commit()
        return pb.CreateWorkspaceResponse(workspace=workspace_message(workspace))

    async def GetWorkspace(
        self, request: pb.GetWorkspaceRequest, context: Any
    ) -> pb.GetWorkspaceResponse:
        """Read one workspace."""
        workspace_id = parse_id("ws", request.workspace_id)
        async with self._pool.transaction("app", workspace_id) as tx:
            workspace = await store.get_workspace(tx, workspace_id)
        return pb.GetWorkspaceResponse(workspace=workspace_message(workspace))

    async def ListWorkspaces(
        self, request: pb.ListWorkspacesRequest, context: Any
    ) -> pb.ListWorkspacesResponse:
        """List workspaces, newest first."""
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_workspaces(tx, before, size + 1)
        page, token = split_page(rows, size, lambda row: id_token(row.workspace_id))
        return pb.ListWorkspacesResponse(
            workspaces=map(workspace_message, page), next_page_token=token
        )

    @repeat_while_busy
    async def UpdateWorkspace(
        self, request: pb.UpdateWorkspaceRequest, context: Any
    ) -> pb.UpdateWorkspaceResponse:
        """Change a workspace's name and settings as a whole."""
        async with self._pool.transaction("system") as tx:
            workspace = await service.update_workspace(
                tx,
                self._act(),
                parse_id("ws", request.workspace_id),
                display_name=request.display_name,
                default_lane=_checked_lane(request.default_lane),
                requires_zero_retention=request.requires_zero_retention,
                cors_origins=request.cors_origins,
                spend_limits=_spend_limits(request.spend_limits),
                expected_version=request.expected_version,
            )
            await tx.commit()
        return pb.UpdateWorkspaceResponse(workspace=workspace_message(workspace))

    @repeat_while_busy
    async def SuspendWorkspace(
        self, request: pb.SuspendWorkspaceRequest, context: Any
    ) -> pb.SuspendWorkspaceResponse:
        """Stop serving a workspace."""
        async with self._pool.transaction("system") as tx:
            workspace = await service.suspend_workspace(
                tx, self._act(), parse_id("ws", request.workspace_id)
            )
            await tx.commit()
        return pb.SuspendWorkspaceResponse(workspace=workspace_message(workspace))

    @repeat_while_busy
    async def ResumeWorkspace(
        self, request: pb.ResumeWorkspaceRequest, context: Any
    ) -> pb.ResumeWorkspaceResponse:
        """Serve a suspended workspace again."""
        async with self._pool.transaction("system") as tx:
            workspace = await service.resume_workspace(
                tx, self._act(), parse_id("ws", request.workspace_id)
            )
            await tx.commit()
        return pb.ResumeWorkspaceResponse(workspace=workspace_message(workspace))

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)


def workspace_message(workspace: Workspace) -> workspace_pb2.Workspace:
    """Render a workspace."""
    return workspace_pb2.Workspace(
        workspace_id=format_id("ws", workspace.workspace_id),
        display_name=workspace.display_name,
        state=workspace_pb2.Workspace.State.ValueType(workspace.state),
        default_lane=Lane.ValueType(workspace.default_lane),
        created_at=to_timestamp(workspace.created_at),
        version=workspace.version,
        requires_zero_retention=workspace.requires_zero_retention,
        cors_origins=workspace.cors_origins,
        spend_limits=workspace_pb2.SpendLimits(
            **{name: _money(nanos) for name, nanos in asdict(workspace.spend_limits).items()}
        ),
    )


def _spend_limits(message: workspace_pb2.SpendLimits) -> SpendLimits:
    return SpendLimits(
        message.per_day.amount_nanos, message.per_month.amount_nanos, message.total.amount_nanos
    )


def _money(nanos: int) -> Money:
    return Money(amount_nanos=nanos, currency_code="USD")


def _checked_lane(number: int) -> int:
    """Return a lane's number, 0 if none is chosen.

    Raises:
        InvalidArgument: there is no such lane.
    """
    if number not in Lane.values():
        raise InvalidArgument(fields="default_lane")
    return number


def workspace_service(pool: Pool, clock: Clock, ids: IdSource) -> Service:
    """Return the service for the server."""
    add = workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server
    return Service(NAME, add, WorkspaceServicer(pool, clock, ids), ALLOWED)

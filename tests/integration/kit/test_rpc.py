"""Our gRPC servers: denied by default, validated, and silent about exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kit.log import EventLog
from kit.reasons import (
    CallerNotAllowed,
    DomainError,
    InvalidArgument,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from kit.rpc.client import open_channel, sync_channel
from kit.rpc.identity import Tokens, current_caller
from kit.rpc.server import RpcServer, Service, start_server
from kit.rpc.status import domain_error_of
from oneapi.accounts.v1 import workspace_service_pb2 as pb2
from oneapi.accounts.v1 import workspace_service_pb2_grpc as pb2_grpc
from oneapi.accounts.v1.workspace_pb2 import Workspace

CANARY = "CNYsecretprompt"
TOKENS = Tokens({"operator": "o" * 43, "finance": "f" * 43})
KNOWN = "ws_" + "0" * 32
UNKNOWN = "ws_" + "1" * 32


class Workspaces(pb2_grpc.WorkspaceServiceServicer):
    """Answers one workspace; fails on others in both ways."""

    async def GetWorkspace(self, request: Any, context: Any) -> Any:
        """Answer, refuse or break."""
        if request.workspace_id == KNOWN:
            return pb2.GetWorkspaceResponse(workspace=Workspace(display_name=current_caller().name))
        if request.workspace_id == UNKNOWN:
            raise NotFound(workspace_id=request.workspace_id)
        raise RuntimeError(CANARY)


@pytest.fixture
async def server() -> AsyncIterator[tuple[RpcServer, io.StringIO]]:
    """A server with one method that operators may call."""
    stream = io.StringIO()
    service = Service(
        "oneapi.accounts.v1.WorkspaceService",
        pb2_grpc.add_WorkspaceServiceServicer_to_server,
        Workspaces(),  # type: ignore[abstract]  # the others stay unimplemented
        {"GetWorkspace": frozenset({"operator"})},
    )
    running = await start_server(
        [service], target="127.0.0.1:0", tokens=TOKENS, log=EventLog("core", stream=stream)
    )
    yield running, stream
    await running.stop(0)


async def ask(
    server: RpcServer, token: str, workspace_id: str, method: str = "GetWorkspace"
) -> Any:
    """Call a method and turn a failure into its domain error."""
    async with open_channel(f"127.0.0.1:{server.port}", token) as channel:
        stub = pb2_grpc.WorkspaceServiceStub(channel)
        try:
            call = getattr(stub, method)
            return await call(pb2.GetWorkspaceRequest(workspace_id=workspace_id))
        except grpc.RpcError as error:
            raise domain_error_of(error) from None


async def test_an_allowed_caller_is_answered_and_known(server: Any) -> None:
    """The servicer learns who calls."""
    answer = await ask(server[0], TOKENS.of("operator"), KNOWN)
    assert answer.workspace.display_name == "operator"


async def test_a_stranger_is_refused(server: Any) -> None:
    """No token of ours, no answer."""
    with pytest.raises(Unauthenticated):
        await ask(server[0], "wrong", KNOWN)


async def test_a_known_caller_that_is_not_listed_is_refused(server: Any) -> None:
    """Deny by default, per method."""
    with pytest.raises(CallerNotAllowed) as caught:
        await ask(server[0], TOKENS.of("finance"), KNOWN)
    assert caught.value.metadata == {"caller": "finance"}


async def test_a_domain_error_arrives_with_its_parts(server: Any) -> None:
    """Reason and metadata survive the wire (AIP-193)."""
    with pytest.raises(NotFound) as caught:
        await ask(server[0], TOKENS.of("operator"), UNKNOWN)
    assert caught.value.metadata == {"workspace_id": UNKNOWN}


async def test_a_broken_rule_names_the_field_and_not_its_value(server: Any) -> None:
    """Validation says what is wrong without repeating it."""
    with pytest.raises(InvalidArgument) as caught:
        await ask(server[0], TOKENS.of("operator"), CANARY)
    assert caught.value.metadata == {"fields": "workspace_id"}


async def test_no_exception_text_leaves_the_process(server: Any) -> None:
    """Neither the wire nor the log has it; both have the error id (P1)."""
    running, stream = server
    with pytest.raises(DomainError) as caught:
        await ask(running, TOKENS.of("operator"), "ws_" + "2" * 32)
    assert caught.value.metadata["error_id"] in stream.getvalue()
    assert CANARY not in stream.getvalue()
    assert CANARY not in str(caught.value.metadata)


class _Breaking(grpc.GenericRpcHandler):
    """Breaks every stream at its first message."""

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of any method."""
        return grpc.stream_stream_rpc_method_handler(self._break)

    async def _break(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for _ in requests:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "")


async def test_a_broken_stream_leaves_no_task_behind() -> None:
    """An edge opens many streams while core comes and goes; each must be gone when it ends."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Breaking(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", "x") as channel:
        await _one_stream(channel)
        before = len(asyncio.all_tasks())
        for _ in range(10):
            await _one_stream(channel)
        async with asyncio.timeout(10):  # each has a last turn of the loop to take
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    await server.stop(None)


async def _one_stream(channel: grpc.aio.Channel) -> None:
    method: Any = channel.stream_stream("/test.Service/Break")
    call = method()
    await call.write(b"one")
    with contextlib.suppress(grpc.RpcError):
        await call.read()
    call.cancel()


async def test_an_unreachable_server_is_unavailable() -> None:
    """A dead peer is a situation that callers can handle."""
    with sync_channel("127.0.0.1:1", "x") as channel:
        stub = pb2_grpc.WorkspaceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetWorkspace(pb2.GetWorkspaceRequest(workspace_id=KNOWN), timeout=2)
    assert isinstance(domain_error_of(caught.value), Unavailable)


class Dropping(pb2_grpc.WorkspaceServiceServicer):
    """Drops the first call, as a server does that stops before it has begun it."""

    calls = 0

    async def GetWorkspace(self, request: Any, context: Any) -> Any:
        """Answer the second time."""
        self.calls += 1
        if self.calls == 1:
            await context.abort(grpc.StatusCode.CANCELLED)
        return pb2.GetWorkspaceResponse(workspace=Workspace(display_name="again"))


async def test_a_call_that_a_stopping_server_drops_is_made_again() -> None:
    """The caller notices nothing: with what took its place it succeeds."""
    service = Service(
        "oneapi.accounts.v1.WorkspaceService",
        pb2_grpc.add_WorkspaceServiceServicer_to_server,
        Dropping(),  # type: ignore[abstract]  # the others stay unimplemented
        {"GetWorkspace": frozenset({"operator"})},
    )
    log = EventLog("core", stream=io.StringIO())
    running = await start_server([service], target="127.0.0.1:0", tokens=TOKENS, log=log)
    async with open_channel(f"127.0.0.1:{running.port}", "o" * 43) as channel:
        stub = pb2_grpc.WorkspaceServiceStub(channel)
        answer = await stub.GetWorkspace(pb2.GetWorkspaceRequest(workspace_id=KNOWN))
    await running.stop(0)
    assert answer.workspace.display_name == "again"


async def test_two_servers_share_a_port_only_if_both_ask_for_it() -> None:
    """A third one that does not is refused: nobody steals calls unseen."""
    log = EventLog("core", stream=io.StringIO())
    first = await start_server([], target="127.0.0.1:0", tokens=TOKENS, log=log, shares_port=True)
    target = f"127.0.0.1:{first.port}"
    second = await start_server([], target=target, tokens=TOKENS, log=log, shares_port=True)
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", first.port))
    await first.stop(0)
    await second.stop(0)

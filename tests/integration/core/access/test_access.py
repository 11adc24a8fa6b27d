"""AccessService over real gRPC: who gets a user context, and what the audit log then says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from core.access.rpc import access_service
from core.accounts import service as accounts
from core.db.database import Database
from core.keyring import Keyring
from core.keys import service as keys
from core.keys.model import KeyEventKind, KeySettings, Permission
from core.keys.service import ShownKey
from core.platform_key import PlatformKey, load_or_make_platform_key
from kit.clock import now_micros
from kit.ids import format_id
from kit.rpc.status import domain_error_of
from kit.secret import secret_hash
from kit.user_context import check_current, read_signed
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.security.v1 import access_service_pb2 as pb
from oneapi.security.v1 import access_service_pb2_grpc
from tests.integration.core.conftest import World
from tests.support.core_server import calling, serving

if TYPE_CHECKING:
    from oneapi.security.v1.access_service_pb2_grpc import AccessServiceAsyncStub as Stub

PEPPER = b"p" * 32
DOWNLOADS = KeySettings(permissions=frozenset({Permission.ARCHIVES_DOWNLOAD}))


@pytest.fixture
def world(database: Database) -> World:
    """The pieces to call with."""
    return World(database)


@pytest.fixture
def signer(tmp_path: Path) -> PlatformKey:
    """The platform's key."""
    return load_or_make_platform_key(tmp_path / "platform.json")


@pytest.fixture
async def port(world: World, signer: PlatformKey) -> AsyncIterator[int]:
    """A server of the service."""
    async with serving([access_service(world.pool, world.clock, world.ids, signer)]) as served:
        yield served


@pytest.fixture
async def edge(port: int) -> AsyncIterator[Stub]:
    """The service as edges call it."""
    async with calling(port, "edge") as channel:
        yield access_service_pb2_grpc.AccessServiceStub(channel)


async def key_of(world: World, settings: KeySettings) -> ShownKey:
    """Create a key in a workspace of its own."""
    async with world.pool.transaction("system") as tx:
        workspace = await accounts.create_workspace(
            tx, world.act(), request_id="request-ws", display_name="Example", default_lane=0
        )
        shown = await keys.create_key(
            tx,
            world.act(),
            Keyring({1: PEPPER}),
            request_id="request-key",
            workspace_id=workspace.workspace_id,
            display_name="A key",
            settings=settings,
        )
        await tx.commit()
    return shown


def asked(shown: ShownKey) -> pb.IssueUserContextRequest:
    """Ask as an edge that was sent the secret."""
    hashed = secret_hash(shown.secret, PEPPER)
    return pb.IssueUserContextRequest(secret_hashes=[b"\0" * 32, hashed], audience="archiver")


async def test_a_key_is_vouched_for_with_what_it_may_do(
    world: World, edge: Stub, signer: PlatformKey
) -> None:
    """The permissions of the key, its workspace, a minute."""
    shown = await key_of(world, DOWNLOADS)
    answer = await edge.IssueUserContext(asked(shown))
    context = read_signed(answer.user_context, signer.public_keys)
    check_current(context, "archiver", now_micros(world.clock))
    assert context.subject == format_id("key", shown.key.key_id)
    assert context.workspace_id == format_id("ws", shown.key.workspace_id)
    assert context.permissions == {"archives.download"}
    assert answer.expires_at.ToMicroseconds() == context.expires_at_micros


async def test_a_key_without_permissions_may_do_nothing(
    world: World, edge: Stub, signer: PlatformKey
) -> None:
    """It is vouched for, so that who is asked can say who was denied."""
    answer = await edge.IssueUserContext(asked(await key_of(world, KeySettings())))
    assert read_signed(answer.user_context, signer.public_keys).permissions == frozenset()


async def test_nobody_else_is_vouched_for(world: World, edge: Stub, port: int) -> None:
    """No unknown secret, no revoked key, no suspended workspace, and no other caller."""
    shown = await key_of(world, DOWNLOADS)
    request = asked(shown)
    unknown = pb.IssueUserContextRequest(secret_hashes=[b"\0" * 32], audience="archiver")
    assert await refusal(edge, unknown) == ErrorReason.ERROR_REASON_NOT_FOUND
    async with world.pool.transaction("system") as tx:
        await accounts.suspend_workspace(tx, world.act(), shown.key.workspace_id)
        await tx.commit()
    assert await refusal(edge, request) == ErrorReason.ERROR_REASON_WORKSPACE_NOT_ACTIVE
    async with world.pool.transaction("system") as tx:
        await keys.move_key(tx, world.act(), shown.key.key_id, KeyEventKind.REVOKED)
        await tx.commit()
    assert await refusal(edge, request) == ErrorReason.ERROR_REASON_INVALID_STATE
    async with calling(port, "finance") as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        assert await refusal(stub, request) == ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED


async def refusal(stub: Stub, request: pb.IssueUserContextRequest) -> int:
    """Ask in vain; return the reason."""
    with pytest.raises(grpc.RpcError) as refused:
        await stub.IssueUserContext(request)
    return domain_error_of(refused.value).reason


async def test_hand_outs_and_denials_are_on_the_record(world: World, edge: Stub, port: int) -> None:
    """By the key that asked, though its minute is over; by the service where no key is proved."""
    shown = await key_of(world, DOWNLOADS)
    context = (await edge.IssueUserContext(asked(shown))).user_context
    world.clock.move(hours=1)
    request = pb.RecordAccessRequest(
        user_context=context,
        caller="edge",
        action="archive.Download",
        object_id="2026-08/usage.parquet",
        workspace_id=format_id("ws", shown.key.workspace_id),
        outcome=pb.RecordAccessRequest.OUTCOME_HANDED_OUT,
    )
    async with calling(port, "archiver") as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        await stub.RecordAccess(request)
        request.outcome = pb.RecordAccessRequest.OUTCOME_DENIED
        request.user_context = context[:-4] + "AAAA"
        await stub.RecordAccess(request)
    who, whose = format_id("key", shown.key.key_id), shown.key.workspace_id
    asked_for = f"{request.workspace_id}/2026-08/usage.parquet"
    assert await recorded(world) == [
        (who, "archive.Download", "2026-08/usage.parquet", whose),
        ("edge", "archive.DownloadDenied", asked_for, None),
    ]


async def test_a_denial_is_filed_under_who_asked(world: World, edge: Stub, port: int) -> None:
    """Nobody writes into another workspace's log, or that of one that is not there."""
    shown = await key_of(world, DOWNLOADS)
    context = (await edge.IssueUserContext(asked(shown))).user_context
    other = format_id("ws", b"o" * 16)
    request = pb.RecordAccessRequest(
        user_context=context,
        caller="edge",
        action="archive.GetArchive",
        object_id="2026-08",
        workspace_id=other,
        outcome=pb.RecordAccessRequest.OUTCOME_DENIED,
    )
    async with calling(port, "archiver") as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        await stub.RecordAccess(request)
        request.object_id = "x" * 96
        await stub.RecordAccess(request)
        request.workspace_id, request.object_id = format_id("ws", shown.key.workspace_id), "2026-08"
        await stub.RecordAccess(request)
    who, whose = format_id("key", shown.key.key_id), shown.key.workspace_id
    action = "archive.GetArchiveDenied"
    assert await recorded(world) == [
        (who, action, f"{other}/2026-08", whose),
        (who, action, f"{other}/{'x' * 60}", whose),
        (who, action, "2026-08", whose),
    ]


async def recorded(world: World) -> list[tuple[str, str, str, bytes | None]]:
    """What the audit log says of the archive: who, what, which, and in whose log."""
    async with world.pool.transaction("system") as tx:
        rows = await tx.all(
            "SELECT actor, action, object_id, workspace_id FROM audit_log "
            "WHERE action LIKE 'archive.%' ORDER BY id"
        )
    return [
        (actor, action, object_id, None if whose is None else whose.bytes)
        for actor, action, object_id, whose in map(tuple, rows)
    ]

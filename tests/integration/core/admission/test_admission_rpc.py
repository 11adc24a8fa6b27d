"""Admission over gRPC: what an edge hears, and that nobody else does."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
import pytest

from core.accounts.rpc import workspace_service
from core.admission.credit import CreditDesk, LeaseTerms
from core.admission.rpc import admission_service
from core.admission.watch import Snapshots, Watch
from core.catalog.providers import Providers
from core.catalog.rpc import catalog_service
from core.catalog.sealing import Sealer
from core.catalog.service import Upstreams
from core.feed import ChangeFeed
from core.keyring import Keyring
from core.keys.rpc import key_service
from core.ledger.credits import grant_credit
from core.ledger.model import GrantKind
from kit.clock import now
from kit.ids import parse_id
from kit.log import EventLog
from kit.reasons import CallerNotAllowed, InvalidArgument, NotFound
from kit.rpc.client import open_channel
from kit.rpc.identity import Tokens
from kit.rpc.server import start_server
from kit.rpc.status import domain_error_of
from kit.secret import secret_hash
from oneapi.accounts.v1 import workspace_service_pb2, workspace_service_pb2_grpc
from oneapi.admission.v1 import admission_service_pb2 as pb
from oneapi.admission.v1 import admission_service_pb2_grpc
from oneapi.admission.v1.grant_pb2 import Grant
from oneapi.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from oneapi.keys.v1 import api_key_pb2, key_service_pb2, key_service_pb2_grpc
from tests.integration.core.conftest import World

TOKENS = {name: name[0] * 43 for name in ("edge", "operator", "finance")}
PEPPER = b"p" * 32
DOCUMENT = {
    "format": 1,
    "upstreams": [{"name": "acme", "base_url": "https://acme.example/v1"}],
    "models": [
        {
            "public_id": "m-one",
            "display_name": "Model",
            "maker": "maker",
            "context_tokens": 1000,
            "max_output_tokens": 100,
            "routes": [{"candidates": [{"upstream": "acme", "upstream_model": "M1"}]}],
            "prices": [{"tiers": [{"input": 10, "output": 20}]}],
        }
    ],
}


class Core:
    """A core's services on a real server, with stubs for an edge and an operator."""

    def __init__(self, world: World, feed: ChangeFeed, target: str) -> None:
        self.world = world
        self.feed = feed
        self.channels = {name: open_channel(target, token) for name, token in TOKENS.items()}
        self.edge = admission_service_pb2_grpc.AdmissionServiceStub(self.channels["edge"])
        self.keys = key_service_pb2_grpc.KeyServiceStub(self.channels["operator"])
        self.workspaces = workspace_service_pb2_grpc.WorkspaceServiceStub(self.channels["operator"])
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(self.channels["operator"])

    async def new_workspace(self) -> str:
        """Create a workspace with a little credit."""
        answer = await self.workspaces.CreateWorkspace(
            workspace_service_pb2.CreateWorkspaceRequest(
                request_id=f"request-{uuid4().hex}", display_name="Example"
            )
        )
        workspace_id: str = answer.workspace.workspace_id
        async with self.world.pool.transaction("system") as tx:
            await grant_credit(
                tx,
                workspace_id=parse_id("ws", workspace_id),
                kind=GrantKind.PROMOTIONAL,
                amount=1_000,
                expires_at=None,
                business_key=f"test:{workspace_id}",
                actor="operator",
                now=now(self.world.clock),
            )
            await tx.commit()
        return workspace_id

    async def new_key(self, workspace_id: str, **settings: Any) -> Any:
        """Create a key, wait until the feed has it, and return it with its secret."""
        created = await self.keys.CreateKey(
            key_service_pb2.CreateKeyRequest(
                request_id=f"request-{uuid4().hex}",
                workspace_id=workspace_id,
                display_name="A key",
                settings=api_key_pb2.KeySettings(**settings),
            )
        )
        await until_polled(self, created.key.version)
        return created

    async def open_epoch(self, edge_id: int = 0) -> int:
        """Start an edge process."""
        request = pb.OpenEpochRequest(edge_id=edge_id, boot_nonce=uuid4().bytes)
        answer: pb.OpenEpochResponse = await self.edge.OpenEpoch(request)
        return answer.epoch

    @asynccontextmanager
    async def watching(
        self, epoch: int, since: int = 0
    ) -> AsyncIterator[AsyncIterator[pb.WatchChangesResponse]]:
        """Follow the feed as an edge."""
        request = pb.WatchChangesRequest(edge_id=0, epoch=epoch, since_sequence=since)
        call = self.edge.WatchChanges(request)
        try:
            yield aiter(call)
        finally:
            call.cancel()


@pytest.fixture
async def core(world: World) -> AsyncIterator[Core]:
    """A running core; its feed polls by itself, its clock stands still."""
    log = EventLog("core", stream=io.StringIO())
    pool, clock, ids = world.pool, world.clock, world.ids
    feed = ChangeFeed(pool, clock, log)
    await feed.start()
    polling = asyncio.create_task(feed.run())
    upstreams = Upstreams(
        Providers({"ACME_API_KEY": "acme-credential"}), Sealer(Keyring({1: b"k" * 32}))
    )
    watch = Watch(pool, clock, feed, Snapshots(pool, clock, feed, upstreams.sealer))
    desk = CreditDesk(pool, clock, LeaseTerms(600, 3_600))
    server = await start_server(
        [
            workspace_service(pool, clock, ids),
            key_service(pool, clock, ids, Keyring({1: PEPPER})),
            catalog_service(pool, clock, ids, upstreams),
            admission_service(pool, clock, ids, desk, watch),
        ],
        target="127.0.0.1:0",
        tokens=Tokens(TOKENS),
        log=log,
    )
    core = Core(world, feed, f"127.0.0.1:{server.port}")
    yield core
    feed.stop()
    for channel in core.channels.values():
        await channel.close()
    await server.stop(0)
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)


async def import_document(core: Core, **changes: Any) -> None:
    """Import the catalogue."""
    document = json.dumps({**DOCUMENT, **changes}).encode()
    await core.catalog.ImportCatalog(catalog_service_pb2.ImportCatalogRequest(document=document))


async def until_polled(core: Core, sequence: int) -> None:
    """Wait until this core has read the feed up to a sequence."""
    async for update in core.feed.subscribe(0):
        if update.sequence >= sequence:
            return


async def next_grant(messages: AsyncIterator[pb.WatchChangesResponse]) -> Grant:
    """The next grant that the stream brings."""
    async for message in messages:
        if message.grants:
            return message.grants[0]
    raise AssertionError


async def test_the_first_message_has_the_catalogue_with_credentials(core: Core) -> None:
    """An edge can serve as soon as it has it."""
    await import_document(core)
    await until_polled(core, 1)
    async with core.watching(await core.open_epoch()) as messages:
        first = await anext(messages)
    assert [model.public_id for model in first.catalog.models] == ["m-one"]
    assert first.catalog.upstreams[0].credential == b"acme-credential"
    assert first.catalog.version == first.sequence == 1


async def test_operators_and_finance_cannot_watch(core: Core) -> None:
    """Credentials go to edges only."""
    for name in ("operator", "finance"):
        stub = admission_service_pb2_grpc.AdmissionServiceStub(core.channels[name])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.WatchChanges(pb.WatchChangesRequest())))
        assert isinstance(domain_error_of(caught.value), CallerNotAllowed)


async def test_an_edge_cannot_manage_keys(core: Core) -> None:
    """Who admits requests makes no keys."""
    stub = key_service_pb2_grpc.KeyServiceStub(core.channels["edge"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListKeys(key_service_pb2.ListKeysRequest(workspace_id="ws_" + "0" * 32))
    assert isinstance(domain_error_of(caught.value), CallerNotAllowed)


async def test_a_secret_finds_its_grant(core: Core) -> None:
    """By its keyed hash, among others of other peppers."""
    created = await core.new_key(await core.new_workspace())
    hashes = [b"x" * 32, secret_hash(created.secret, PEPPER)]
    answer = await core.edge.GetGrant(pb.GetGrantRequest(secret_hashes=hashes))
    assert answer.grant.key_id == parse_id("key", created.key.key_id)
    assert answer.grant.state == Grant.STATE_ACTIVE


async def test_an_unknown_secret_is_not_found(core: Core) -> None:
    """And nothing more is said."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.edge.GetGrant(pb.GetGrantRequest(secret_hashes=[b"x" * 32]))
    assert isinstance(domain_error_of(caught.value), NotFound)


async def test_the_old_secret_finds_the_grant_in_its_grace_time(core: Core) -> None:
    """And no longer."""
    created = await core.new_key(await core.new_workspace())
    await core.keys.RotateKey(
        key_service_pb2.RotateKeyRequest(
            request_id="request-rotate", key_id=created.key.key_id, grace_seconds=60
        )
    )
    request = pb.GetGrantRequest(secret_hashes=[secret_hash(created.secret, PEPPER)])
    assert len((await core.edge.GetGrant(request)).grant.secrets) == 2
    core.world.clock.move(seconds=60)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.edge.GetGrant(request)
    assert isinstance(domain_error_of(caught.value), NotFound)


async def test_a_revoked_key_reaches_the_edge(core: Core) -> None:
    """With a version above the one before, so that it replaces it."""
    created = await core.new_key(await core.new_workspace())
    async with core.watching(await core.open_epoch()) as messages:
        await anext(messages)
        key_id = created.key.key_id
        await core.keys.RevokeKey(key_service_pb2.RevokeKeyRequest(key_id=key_id))
        grant = await next_grant(messages)
    assert grant.state == Grant.STATE_KEY_REVOKED
    assert grant.version > created.key.version


async def test_a_suspended_workspace_reaches_the_edge_key_by_key(core: Core) -> None:
    """An edge knows keys, not workspaces."""
    workspace_id = await core.new_workspace()
    created = await core.new_key(workspace_id)
    async with core.watching(await core.open_epoch()) as messages:
        await anext(messages)
        await core.workspaces.SuspendWorkspace(
            workspace_service_pb2.SuspendWorkspaceRequest(workspace_id=workspace_id)
        )
        grant = await next_grant(messages)
    assert grant.key_id == parse_id("key", created.key.key_id)
    assert grant.state == Grant.STATE_WORKSPACE_NOT_ACTIVE
    assert grant.version > created.key.version


async def test_what_a_workspace_requires_reaches_the_edge_key_by_key(core: Core) -> None:
    """Zero retention and web origins, set as a whole and taken back as a whole."""
    workspace_id = await core.new_workspace()
    created = await core.new_key(workspace_id)
    async with core.watching(await core.open_epoch()) as messages:
        await anext(messages)
        change = workspace_service_pb2.UpdateWorkspaceRequest(
            workspace_id=workspace_id,
            display_name="Example",
            requires_zero_retention=True,
            cors_origins=["https://b.example", "https://a.example"],
        )
        changed = (await core.workspaces.UpdateWorkspace(change)).workspace
        strict = await next_grant(messages)
        change.ClearField("requires_zero_retention")
        change.ClearField("cors_origins")
        change.expected_version = changed.version
        await core.workspaces.UpdateWorkspace(change)
        lax = await next_grant(messages)
    assert strict.key_id == lax.key_id == parse_id("key", created.key.key_id)
    assert strict.requires_zero_retention
    assert list(strict.cors_origins) == ["https://a.example", "https://b.example"]
    assert (lax.requires_zero_retention, list(lax.cors_origins)) == (False, [])
    assert lax.version > strict.version


async def test_zero_retention_of_a_key_reaches_the_edge(core: Core) -> None:
    """Like every other setting of it."""
    created = await core.new_key(await core.new_workspace())
    settings = created.key.settings
    async with core.watching(await core.open_epoch()) as messages:
        await anext(messages)
        settings.requires_zero_retention = True
        await core.keys.UpdateKey(
            key_service_pb2.UpdateKeyRequest(
                key_id=created.key.key_id, display_name="A key", settings=settings
            )
        )
        grant = await next_grant(messages)
    assert grant.requires_zero_retention


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"cors_origins": ["https://a.example/"]}, "InvalidArgument"),
        ({"cors_origins": ["https://a.example:443"]}, "InvalidArgument"),
        ({"default_lane": 77}, "InvalidArgument"),
        ({"expected_version": 10**9}, "InvalidState"),
        ({"workspace_id": "ws_" + "0" * 32}, "NotFound"),
    ],
)
async def test_a_wrong_change_of_a_workspace_is_refused(
    core: Core, wrong: dict[str, Any], reason: str
) -> None:
    """Nothing of it is kept."""
    workspace_id = await core.new_workspace()
    change: dict[str, Any] = {"workspace_id": workspace_id, "display_name": "New", **wrong}
    with pytest.raises(grpc.RpcError) as refused:
        await core.workspaces.UpdateWorkspace(
            workspace_service_pb2.UpdateWorkspaceRequest(**change)
        )
    assert type(domain_error_of(refused.value)).__name__ == reason
    asked = workspace_service_pb2.GetWorkspaceRequest(workspace_id=workspace_id)
    assert (await core.workspaces.GetWorkspace(asked)).workspace.display_name == "Example"


async def test_an_edge_that_was_away_hears_what_changed_meanwhile(core: Core) -> None:
    """It resumes from the last sequence that it has seen."""
    created = await core.new_key(await core.new_workspace())
    epoch = await core.open_epoch()
    async with core.watching(epoch) as messages:
        seen = (await anext(messages)).sequence
    await core.keys.DisableKey(key_service_pb2.DisableKeyRequest(key_id=created.key.key_id))
    async with core.watching(epoch, seen) as messages:
        assert (await next_grant(messages)).state == Grant.STATE_KEY_DISABLED


async def test_a_changed_catalogue_reaches_the_edge(core: Core) -> None:
    """Whole, under a higher version."""
    async with core.watching(await core.open_epoch()) as messages:
        before = (await anext(messages)).catalog.version
        await import_document(core)
        async for message in messages:
            if message.HasField("catalog"):
                break
    assert message.catalog.version > before
    assert len(message.catalog.models) == 1


async def test_marks_come_without_any_news(core: Core) -> None:
    """They say when core last read the feed; an edge counts from there."""
    async with core.watching(await core.open_epoch()) as messages:
        first = await anext(messages)
        core.world.clock.move(seconds=0.3)
        mark = await anext(messages)
    assert mark.polled_at_micros >= first.polled_at_micros + 250_000
    assert not mark.HasField("catalog")


async def test_a_recalled_lease_is_told_to_its_edge_once(core: Core) -> None:
    """Another edge lacks what this one holds."""
    workspace_id = parse_id("ws", await core.new_workspace())
    first, second = await core.open_epoch(0), await core.open_epoch(1)
    wish: dict[str, Any] = {
        "workspace_id": workspace_id,
        "acquire_number": 1,
        "needed_nanos": 1_000,
    }
    lease = (
        await core.edge.AcquireCredit(pb.AcquireCreditRequest(edge_id=0, epoch=first, **wish))
    ).lease
    async with core.watching(first) as messages:
        await anext(messages)
        request = pb.AcquireCreditRequest(edge_id=1, epoch=second, **wish)
        other = asyncio.ensure_future(core.edge.AcquireCredit(request))
        async for message in messages:
            if message.recalled_lease_ids:
                break
        renewal = pb.LeaseRenewal(lease_id=lease.lease_id, returned_total_nanos=1_000)
        renewed = await core.edge.RenewLeases(
            pb.RenewLeasesRequest(edge_id=0, epoch=first, leases=[renewal])
        )
        granted = (await other).lease.granted_total_nanos
    assert list(message.recalled_lease_ids) == [lease.lease_id]
    assert renewed.leases[0].returned_total_nanos == 1_000
    assert granted == 1_000


async def test_a_restored_database_makes_the_edge_forget(core: Core) -> None:
    """The edge knows more than core: nothing of it can be trusted."""
    async with core.watching(await core.open_epoch(), since=99) as messages:
        assert (await anext(messages)).reset


async def test_wrong_fields_are_refused_before_anything_runs(core: Core) -> None:
    """By the rules in the proto."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.edge.OpenEpoch(pb.OpenEpochRequest(boot_nonce=b"short"))
    assert isinstance(domain_error_of(caught.value), InvalidArgument)


async def test_lists_come_in_pages(core: Core) -> None:
    """Newest first, until the token is empty."""
    workspace_id = await core.new_workspace()
    made = [(await core.new_key(workspace_id)).key.key_id for _ in range(3)]
    request = key_service_pb2.ListKeysRequest(workspace_id=workspace_id, page_size=2)
    first = await core.keys.ListKeys(request)
    request.page_token = first.next_page_token
    second = await core.keys.ListKeys(request)
    listed = [key.key_id for key in (*first.keys, *second.keys)]
    assert listed == made[::-1]
    assert second.next_page_token == ""


async def test_a_foreign_page_token_is_refused(core: Core) -> None:
    """It is opaque, not arbitrary."""
    request = workspace_service_pb2.ListWorkspacesRequest(page_token="x")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.workspaces.ListWorkspaces(request)
    assert isinstance(domain_error_of(caught.value), InvalidArgument)

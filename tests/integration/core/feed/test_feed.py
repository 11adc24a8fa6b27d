"""The change feed: commit order is sequence order, and subscribers miss nothing."""

from __future__ import annotations

import asyncio
import io
from uuid import uuid4

import grpc
import pytest

from core.accounts.rpc import workspace_service
from core.db.database import Transaction
from core.feed import ChangeFeed, ChangeKind, record_change
from core.feed.poller import CHANGES_KEPT
from kit.clock import now
from kit.log import EventLog
from kit.reasons import Unavailable
from kit.rpc.identity import METADATA_KEY
from oneapi.accounts.v1 import workspace_service_pb2 as pb
from oneapi.accounts.v1 import workspace_service_pb2_grpc
from tests.integration.core.conftest import World
from tests.support.core_server import TOKENS, serving
from tests.support.postgres import LOCK_WAITS


def feed_of(world: World) -> ChangeFeed:
    """A feed that polls only when a test says so."""
    return ChangeFeed(world.pool, world.clock, EventLog("core", stream=io.StringIO()))


async def write(world: World, kind: ChangeKind = ChangeKind.KEY) -> tuple[int, bytes]:
    """Commit one change."""
    object_id = uuid4().bytes
    async with world.pool.transaction("system") as tx:
        sequence = await record_change(tx, kind, object_id, now=now(world.clock))
        await tx.commit()
    return sequence, object_id


async def write_until_done(world: World) -> int:
    """Commit one change, again where the counter was busy."""
    while True:
        try:
            return (await write(world))[0]
        except Unavailable:
            continue


async def test_concurrent_writers_get_sequences_without_gaps(world: World) -> None:
    """Commit order is sequence order: nobody commits a lower sequence later."""
    sequences = await asyncio.gather(*(write_until_done(world) for _ in range(24)))
    assert sorted(sequences) == list(range(1, 25))


async def test_a_reader_never_sees_a_later_change_before_an_earlier_one(world: World) -> None:
    """While writers run, every poll continues exactly where the one before ended."""
    feed = feed_of(world)
    await feed.start()
    writers = asyncio.gather(*(write_until_done(world) for _ in range(16)))
    seen: list[int] = []
    subscription = feed.subscribe(0)
    await anext(subscription)
    while len(seen) < 16:
        polled = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        await feed.poll()
        seen += [change.sequence for change in (await polled).changes]
    await writers
    assert seen == list(range(1, 17))


async def test_a_rolled_back_change_leaves_no_gap(world: World) -> None:
    """The sequence is a row under a lock, not a generator."""
    async with world.pool.transaction("system") as tx:
        await record_change(tx, ChangeKind.CATALOG, None, now=now(world.clock))
    assert (await write(world))[0] == 1


async def test_a_writer_that_waits_too_long_for_the_counter_may_try_again(world: World) -> None:
    """A slow writer holds up others for 250 ms at most."""
    async with world.pool.transaction("system") as slow:
        await slow.one("SELECT sequence FROM change_counter FOR UPDATE")
        with pytest.raises(Unavailable) as caught:
            await write(world)
    assert caught.value.metadata == {"sqlstate": "55P03"}


async def test_a_call_outlasts_a_writer_that_holds_the_counter(world: World) -> None:
    """Operators are not told to come back for what passes within a second; it is done once."""
    service = workspace_service(world.pool, world.clock, world.ids)
    made = pb.CreateWorkspaceRequest(request_id="request-ws", display_name="Example")
    # A channel that does not itself call again, as clients of other languages do not.
    alone = [("grpc.enable_retries", 0)]
    token = ((METADATA_KEY, f"Bearer {TOKENS['operator']}"),)
    async with (
        serving([service]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=alone) as channel,
    ):
        stub = workspace_service_pb2_grpc.WorkspaceServiceStub(channel)
        workspace = (await stub.CreateWorkspace(made, metadata=token)).workspace
        suspend = pb.SuspendWorkspaceRequest(workspace_id=workspace.workspace_id)
        async with world.pool.transaction("system") as slow:
            await slow.one("SELECT sequence FROM change_counter FOR UPDATE")
            call = asyncio.ensure_future(stub.SuspendWorkspace(suspend, metadata=token))
            await _until_somebody_waits(slow)
            await asyncio.sleep(0.4)
        await call
    async with world.pool.transaction("system") as tx:
        kinds = await tx.all("SELECT kind::int FROM change_log")
    assert [tuple(row) for row in kinds] == [(ChangeKind.WORKSPACE,)] * 2


async def test_a_subscriber_resumes_after_its_last_sequence(world: World) -> None:
    """What changed while an edge was away reaches it when it is back."""
    first, _ = await write(world)
    _, object_id = await write(world)
    feed = feed_of(world)
    await feed.start()
    update = await anext(feed.subscribe(first))
    assert [change.object_id for change in update.changes] == [object_id]
    assert (update.sequence, update.reset) == (2, False)


async def test_a_new_subscriber_gets_no_old_changes(world: World) -> None:
    """An edge that knows nothing has nothing to correct."""
    await write(world)
    feed = feed_of(world)
    await feed.start()
    update = await anext(feed.subscribe(0))
    assert (update.sequence, update.changes, update.reset) == (1, (), False)


async def test_a_sequence_that_never_was_means_reset(world: World) -> None:
    """After a restored backup an edge may know more than core: it must forget."""
    feed = feed_of(world)
    await feed.start()
    subscription = feed.subscribe(7)
    first = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    await feed.poll()
    assert (await first).reset


async def test_a_sequence_from_before_the_kept_changes_means_reset(world: World) -> None:
    """The feed is bounded; who is further behind starts anew."""
    async with world.pool.transaction("system") as tx:
        await tx.run(
            "INSERT INTO change_log SELECT n, 1, NULL, :now FROM generate_series(1, :n) AS n",
            now=now(world.clock),
            n=CHANGES_KEPT + 5,
        )
        await tx.commit()
    feed = feed_of(world)
    await feed.start()
    assert (await anext(feed.subscribe(4))).reset
    assert not (await anext(feed.subscribe(5))).reset


async def test_the_last_catalogue_change_is_known_at_start(world: World) -> None:
    """A snapshot's version must not go back when core restarts."""
    await write(world, ChangeKind.CATALOG)
    await write(world)
    feed = feed_of(world)
    await feed.start()
    assert feed.catalog_sequence == 1


async def test_a_stale_feed_ends_its_subscriptions(world: World) -> None:
    """A core that cannot read the feed must not look alive to its edges."""
    feed = feed_of(world)
    await feed.start()
    world.clock.move(seconds=2.5)
    with pytest.raises(Unavailable):
        await anext(feed.subscribe(0))


async def _until_somebody_waits(tx: Transaction) -> None:
    while True:
        if await tx.all(LOCK_WAITS):
            return
        await asyncio.sleep(0.01)

"""The stream to an edge: catalogue, changed grants, recalls, and a mark that core is in touch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Final

from core.admission.epoch_store import check_current
from core.admission.grants import list_grants
from core.catalog.messages import snapshot_message
from core.catalog.sealing import Sealer
from core.catalog.store import read_catalog
from core.db.database import Pool
from core.feed import Change, ChangeFeed, ChangeKind, FeedUpdate, RecallKind
from core.feed.change_log import last_catalog_sequence
from kit.clock import Clock, now, now_micros
from oneapi.admission.v1 import admission_service_pb2 as pb
from oneapi.admission.v1 import grant_pb2, snapshot_pb2

MARK_MICROS: Final = 250_000
GRANTS_PER_MESSAGE: Final = 5_000


class Snapshots:
    """The catalogue as edges get it, rendered once for each version."""

    def __init__(self, pool: Pool, clock: Clock, feed: ChangeFeed, sealer: Sealer) -> None:
        """Read the catalogue when the feed has a newer version of it."""
        self._pool = pool
        self._clock = clock
        self._feed = feed
        self._sealer = sealer
        self._lock = asyncio.Lock()
        self._current: snapshot_pb2.CatalogSnapshot | None = None

    async def current(self) -> snapshot_pb2.CatalogSnapshot:
        """Return the newest snapshot."""
        async with self._lock:
            if self._current is None or self._current.version < self._feed.catalog_sequence:
                # Of one moment, so that a number means the same on every core: an edge that turns
                # to another one never takes an older catalogue for a newer.
                async with self._pool.transaction("system", snapshot=True) as tx:
                    version = await last_catalog_sequence(tx)
                    catalog = await read_catalog(tx, now(self._clock))
                self._current = snapshot_message(catalog, version, self._sealer)
            return self._current


class Watch:
    """Streams to all edges of this core."""

    def __init__(self, pool: Pool, clock: Clock, feed: ChangeFeed, snapshots: Snapshots) -> None:
        """Follow the feed."""
        self._pool = pool
        self._clock = clock
        self._feed = feed
        self._snapshots = snapshots
        self._edges: dict[int, int] = {}

    @property
    def edges(self) -> int:
        """Return how many edges follow this core now, at least one."""
        return max(1, len(self._edges))

    async def stream(
        self, edge_id: int, epoch: int, since: int
    ) -> AsyncIterator[pb.WatchChangesResponse]:
        """Yield messages for one edge until it leaves.

        Raises:
            EpochFenced
            Unavailable: the feed is stale, or core stops.
        """
        async with self._pool.transaction("system") as tx:
            await check_current(tx, edge_id, epoch)
        self._edges[edge_id] = self._edges.get(edge_id, 0) + 1
        try:
            async for message in self._messages(_Follower(edge_id, epoch), since):
                yield message
        finally:
            self._edges[edge_id] -= 1
            if not self._edges[edge_id]:
                del self._edges[edge_id]

    async def _messages(
        self, follower: _Follower, since: int
    ) -> AsyncIterator[pb.WatchChangesResponse]:
        async for update in self._feed.subscribe(since):
            message = await self._message(follower, update)
            if follower.is_due(message):
                follower.marked_at = message.polled_at_micros
                yield message

    async def _message(self, follower: _Follower, update: FeedUpdate) -> pb.WatchChangesResponse:
        message = pb.WatchChangesResponse(
            sequence=update.sequence,
            polled_at_micros=update.polled_at_micros,
            server_time_micros=now_micros(self._clock),
            reset=update.reset,
        )
        follower.add_recalls(message, self._feed)
        if follower.catalog_version < self._feed.catalog_sequence:
            snapshot = await self._snapshots.current()
            message.catalog.CopyFrom(snapshot)
            follower.catalog_version = snapshot.version
        grants = await self._grants(update.changes)
        if len(grants) > GRANTS_PER_MESSAGE:
            message.reset = True
        else:
            message.grants.extend(grants)
        return message

    async def _grants(self, changes: Iterable[Change]) -> list[grant_pb2.Grant]:
        ids: dict[ChangeKind, set[bytes]] = {kind: set() for kind in ChangeKind}
        for change in changes:
            if change.object_id is not None:
                ids[change.kind].add(change.object_id)
        keys, workspaces = ids[ChangeKind.KEY], ids[ChangeKind.WORKSPACE]
        if not keys and not workspaces:
            return []
        async with self._pool.transaction("system") as tx:
            return await list_grants(tx, keys, workspaces, now(self._clock), GRANTS_PER_MESSAGE + 1)


class _Follower:
    """What one stream has sent so far."""

    def __init__(self, edge_id: int, epoch: int) -> None:
        self._edge_id = edge_id
        self._epoch = epoch
        self._recalls: dict[tuple[RecallKind, bytes], datetime] = {}
        self.catalog_version = -1
        self.marked_at = 0

    def add_recalls(self, message: pb.WatchChangesResponse, feed: ChangeFeed) -> None:
        """Add what of this edge was recalled since it was last sent."""
        standing = {
            (recall.kind, recall.object_id): recall.recalled_at
            for recall in feed.recalls
            if (recall.edge_id, recall.epoch) == (self._edge_id, self._epoch)
        }
        for (kind, object_id), at in standing.items():
            if self._recalls.get((kind, object_id)) != at:
                places = {
                    RecallKind.LEASE: message.recalled_lease_ids,
                    RecallKind.SPEND: message.recalled_spend_slice_ids,
                }
                places[kind].append(object_id)
        self._recalls = standing

    def is_due(self, message: pb.WatchChangesResponse) -> bool:
        """Say whether a message has news, or it is time for a mark."""
        recalls = message.recalled_lease_ids or message.recalled_spend_slice_ids
        news = message.grants or recalls or message.HasField("catalog")
        silent = message.polled_at_micros - self.marked_at
        return bool(news) or message.reset or silent >= MARK_MICROS

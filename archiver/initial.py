"""The first revision of a frozen month: all workspaces exported, verified, signed and published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Final

import grpc
import pyarrow as pa

from archiver.abreast import Abreast, ahead
from archiver.calendar import format_month
from archiver.export import read_ipc, runs
from archiver.ids import IdSorter
from archiver.manifest import Manifest
from archiver.model import CountedMonth, Draft, Part, Step, Tell, Totals, ids_name
from archiver.parts import (
    Workshop,
    drafts,
    sign_and_store,
    store_costs,
    store_ids,
    store_settlements,
    store_usage,
)
from archiver.settlements import with_settlements
from archiver.totals import combined
from kit.reasons import InvalidState
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason

FIRST: Final = 1
INITIAL: Final = RevisionReason.REVISION_REASON_INITIAL
RESUMES_MAX: Final = 5
"""How often a broken export goes on behind the last whole workspace before the step fails."""
ABREAST_MAX: Final = 4
"""Workspaces that are stored, read back and signed at once, while the export goes on."""
DRAFTS_MAX: Final = 64
"""Files that wait here for core to count what they should have; the export goes on meanwhile."""
_BROKEN: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
Billing = Mapping[bytes, pa.Table]


class MonthDiffers(InvalidState):
    """The files of a month are not what the hot store counts; they are not published."""


async def publish_initial(shop: Workshop, month: date, tell: Tell) -> None:
    """Export, verify, sign and publish a frozen month; to be repeated whenever it fails.

    Raises:
        MonthDiffers: the read-back files do not add up to what core counts.
        LeaseLost: another archiver works.
        StoreUnavailable: the store failed.
    """
    folder = shop.fresh("initial")
    billing = await read_billing(shop, month)
    sorter = IdSorter(month, shop.fresh("ids"))
    try:
        files = await _all_workspaces(shop, month, billing, sorter, folder, tell)
        ids = await asyncio.to_thread(sorter.finish, folder / "ids")
    finally:
        sorter.close()
    name = ids_name(month, FIRST, ids.sha256)
    files.append(await store_ids(shop, name, ids, FIRST))
    tell(Step(format_month(month), "publish"))
    await shop.core.publish(month, FIRST, INITIAL, files)
    tell(Step(format_month(month), "publish", ids.rows, ids.rows, done=True))


async def read_billing(shop: Workshop, month: date) -> Billing:
    """Return the month's billing rows by workspace, and let cost files know its prices."""
    shop.costs.know(await shop.core.prices())
    found: dict[bytes, list[pa.RecordBatch]] = {}
    async for message in shop.core.export_billing(month):
        await asyncio.to_thread(part_billing, message, found)
    return await asyncio.to_thread(joined, found)


def part_billing(message: bytes, found: dict[bytes, list[pa.RecordBatch]]) -> None:
    """Take a message apart: a piece for each workspace in it, however many rows it has."""
    for batch in read_ipc(message):
        for workspace_id, rows in runs(batch):
            found.setdefault(workspace_id, []).append(rows)


def joined(found: Mapping[bytes, Sequence[pa.RecordBatch]]) -> Billing:
    """Return each workspace's pieces as one table."""
    return {owner: pa.Table.from_batches(rows).combine_chunks() for owner, rows in found.items()}


async def _all_workspaces(
    shop: Workshop,
    month: date,
    billing: Billing,
    sorter: IdSorter,
    folder: Path,
    tell: Tell,
) -> list[ArchiveFile]:
    waiting = sorted(billing)
    rows = 0
    async with (
        Abreast[Sequence[ArchiveFile]](ABREAST_MAX) as work,
        aclosing(_paired(shop, month, folder)) as pairs,
    ):
        async for counted, draft in pairs:
            while waiting and waiting[0] < counted.workspace_id:
                await work.begin(_without_usage(shop, month, waiting.pop(0), billing))
            if waiting and waiting[0] == counted.workspace_id:
                waiting.pop(0)
            await work.begin(_one_workspace(shop, month, counted, draft, billing, sorter))
            rows += draft.rows
            tell(Step(format_month(month), "export", rows))
        for workspace_id in waiting:
            await work.begin(_without_usage(shop, month, workspace_id, billing))
        files = [file for found in await work.results() for file in found]
    tell(Step(format_month(month), "export", rows, rows, done=True))
    return files


async def _paired(
    shop: Workshop, month: date, folder: Path
) -> AsyncGenerator[tuple[CountedMonth, Draft], None]:
    """Yield each workspace's file with what core counts; a broken stream is taken up again."""
    after: bytes | None = None
    for attempt in range(RESUMES_MAX + 1):
        try:
            async with aclosing(_pairs_behind(shop, month, folder, after)) as pairs:
                async for counted, draft in pairs:
                    yield counted, draft
                    after = counted.workspace_id
            return
        except grpc.aio.AioRpcError as error:
            if error.code() not in _BROKEN or attempt == RESUMES_MAX:
                raise
            await asyncio.sleep(attempt)


async def _pairs_behind(
    shop: Workshop, month: date, folder: Path, after: bytes | None
) -> AsyncGenerator[tuple[CountedMonth, Draft], None]:
    async with (
        aclosing(ahead(drafts(shop.core.export(month, after), folder), DRAFTS_MAX)) as written,
        aclosing(ahead(with_settlements(shop.core.totals(month, after), folder), 1)) as totals,
    ):
        async for workspace_id, draft in written:
            counted = await anext(totals, None)
            if counted is None or draft is None or counted.workspace_id != workspace_id:
                raise MonthDiffers(month=format_month(month))
            yield counted, draft
        # A workspace that the ledger charged and of which no record came.
        if await anext(totals, None) is not None:
            raise MonthDiffers(month=format_month(month))


async def _one_workspace(
    shop: Workshop,
    month: date,
    counted: CountedMonth,
    draft: Draft,
    billing: Billing,
    sorter: IdSorter,
) -> Sequence[ArchiveFile]:
    owner = counted.workspace_id
    part, copy = await store_usage(shop, owner, month, 1, draft, sorter)
    try:
        if part.totals != counted.totals or part.rows != draft.rows:
            raise MonthDiffers(month=format_month(month))
        settlements = await store_settlements(shop, owner, month, 1, counted.settlements)
        costs = await store_costs(shop, owner, month, [copy], billing.get(owner))
    finally:
        copy.unlink(missing_ok=True)
    manifest = _manifest(month, counted, part.totals, [part, *settlements, *costs])
    return (await sign_and_store(shop, manifest)).files


async def _without_usage(
    shop: Workshop, month: date, workspace_id: bytes, billing: Billing
) -> Sequence[ArchiveFile]:
    """Store the costs of a workspace that bought, or got credit, and used nothing."""
    costs = await store_costs(shop, workspace_id, month, [], billing[workspace_id])
    if not costs:
        return ()
    nothing = combined([])
    counted = CountedMonth(workspace_id, nothing, 0)
    return (await sign_and_store(shop, _manifest(month, counted, nothing, costs))).files


def _manifest(month: date, counted: CountedMonth, totals: Totals, parts: list[Part]) -> Manifest:
    return Manifest(
        workspace_id=counted.workspace_id,
        month=month,
        revision=FIRST,
        reason=INITIAL,
        supersedes=None,
        parts=tuple(parts),
        totals=totals,
        ledger_charge_nanos=counted.ledger_charge_nanos,
    )

"""What leaves core as Arrow: exactly the rows, in their order, in small self-contained parts."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa

from core.ledger.model import GrantKind
from core.metering.copy_row import COLUMNS
from core.partitions.arrow import PART_BYTES_MAX, ipc_parts
from core.partitions.columns import BILLING_SCHEMA, SCHEMA
from kit.ids import format_id
from oneapi.metering.v1 import usage_record_pb2
from oneapi.partitions.v1 import partition_service_pb2 as pb
from tests.architecture.rules.schema import able_to_hold_content
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.support.archive_world import rows_of
from tests.support.metering_world import KEY, RATES

OURS = {
    *("edge_id", "epoch", "sequence", "content_hash"),
    *("upstream_number", "attempts_omitted", "model_number"),
}
"""Columns of the table that no customer sees; models go by their public id."""


async def test_every_row_comes_once_in_order(world: World) -> None:
    """By workspace and id, with all that a customer may see; resumed behind a workspace."""
    archiver, metering = world.archiver, world.metering
    workspaces = sorted([await world.requests(3) for _ in range(3)])
    await metering.report([metering.record(workspaces[0])])
    await archiver.lead()
    await archiver.freeze(JULY)
    rows = await archiver.export(JULY)
    places = [(row["workspace_id"], row["id"]) for row in rows]
    assert places == sorted(places)
    assert {place for place, _ in places} == set(workspaces)
    assert len(rows) == 9
    row = rows[0]
    assert (row["key_id"], row["model"], row["started_at"]) == (KEY, "test/model", IN_JULY)
    assert (row["input_tokens"], row["output_tokens"], row["attempts"]) == (1_000, 100, 1)
    assert (row["charge_nanos"], row["waived_nanos"]) == (3_500_000, 0)
    assert row["outcome"] == usage_record_pb2.OUTCOME_SUCCEEDED
    behind = await archiver.export(JULY, after=format_id("ws", workspaces[1]))
    assert behind == [each for each in rows if each["workspace_id"] == workspaces[2]]


async def test_a_month_larger_than_one_part_comes_in_several(world: World) -> None:
    """Each part stands alone and keeps the limit; together they are all rows."""
    archiver, metering = world.archiver, world.metering
    workspace = await metering.money.workspace(100)
    moments = [IN_JULY + timedelta(seconds=number) for number in range(5_000)]
    records = [metering.record(workspace, moment=moment) for moment in moments]
    for start in range(0, len(records), 1_000):
        await metering.report(records[start : start + 1_000])
    await archiver.lead()
    await archiver.freeze(JULY)
    request = pb.ExportMonthRequest(fence=archiver.fence, month=JULY)
    parts = [part.arrow_ipc async for part in archiver.stub.ExportMonth(request)]
    assert len(parts) > 1
    assert [row["id"] for row in rows_of(parts)] == sorted(each.request_id for each in records)


async def test_billing_tells_what_was_bought_given_and_taxed(world: World) -> None:
    """By posting date; credit that paid a debt at once was bought all the same."""
    archiver, money = world.archiver, world.metering.money
    present = money.now
    money.now = IN_JULY
    workspace = await money.workspace(3)
    await money.grant(workspace, 20 * 10**9, GrantKind.PAID, key="pay:1", tax=10**9)
    money.now = present
    await money.grant(workspace, 10**9)
    await archiver.lead()
    await archiver.freeze(JULY)
    request = pb.ExportBillingRequest(fence=archiver.fence, month=JULY)
    parts = [part.arrow_ipc async for part in archiver.stub.ExportBilling(request)]
    assert pa.ipc.open_stream(parts[0]).schema.equals(BILLING_SCHEMA)
    told = [(row["category"], row["kind"], row["amount_nanos"]) for row in rows_of(parts)]
    assert sorted(told) == [
        ("credit", "promo_grant", 3 * 10**9),
        ("purchase", "paid_grant", 20 * 10**9),
        ("tax", "paid_grant", 10**9),
    ]


async def test_prices_come_with_their_tiers(world: World) -> None:
    """All versions, in force or not: a record names the one that charged it."""
    archiver, money = world.archiver, world.metering.money
    twice = [2 * rate for rate in RATES]
    async with money.database.jobs.transaction("system") as tx:
        await tx.run("INSERT INTO price_tier VALUES (1, 200000, CAST(:to AS bigint[]))", to=twice)
        await tx.run(
            "INSERT INTO price_version (model_number, lane, effective_from, created_at)"
            " VALUES (1, 2, :moment, :moment)",
            moment=money.now + timedelta(days=40),
        )
        await tx.run("INSERT INTO price_tier VALUES (2, 0, CAST(:to AS bigint[]))", to=twice)
        await tx.commit()
    await archiver.lead()
    request = pb.ExportPricesRequest(fence=archiver.fence)
    found = [price async for part in archiver.stub.ExportPrices(request) for price in part.prices]
    assert [(price.number, len(price.tiers)) for price in found] == [(1, 2), (2, 1)]
    assert [tier.above_context_tokens for tier in found[0].tiers] == [0, 200_000]
    assert tuple(found[0].tiers[0].rates) == RATES
    assert list(found[1].tiers[0].rates) == twice


def test_the_columns_are_those_that_a_customer_may_see() -> None:
    """Every column of the table is exported or named as ours; none has room for content."""
    table = {name.strip() for name in COLUMNS.split(",")}
    assert set(SCHEMA.names) == (table - OURS) | {"model"}
    texts = [name for name in SCHEMA.names if pa.types.is_string(SCHEMA.field(name).type)]
    assert texts == ["model"]
    assert able_to_hold_content([usage_record_pb2.UsageRecord.DESCRIPTOR]) == []


def test_a_batch_that_is_too_large_is_cut() -> None:
    """However wide its rows are."""
    batch = pa.record_batch({"number": pa.array(range(500_000), pa.int64())})
    parts = ipc_parts(batch)
    assert max(map(len, parts)) <= PART_BYTES_MAX
    assert sum(pa.ipc.open_stream(part).read_all().num_rows for part in parts) == 500_000
    assert ipc_parts(batch.slice(0, 0)) == []

"""The proof finds every change that SQL can make behind the ledger's back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from core.db.database import Database
from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from oneapi.metering.v1 import usage_record_pb2
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld
from tests.support.postgres import PostgresServer


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MeteringWorld]:
    """A world in which some of everything has happened."""
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    metering = await MeteringWorld.start(money)
    await _live(metering)
    yield metering
    await metering.stop()
    await database.close()


async def _live(world: MeteringWorld) -> None:
    rich, poor = await world.money.workspace(10), await world.money.workspace()
    await world.money.grant(poor, 4_000_000)
    lease = await world.money.acquire(rich, 1, DOLLAR)
    await world.money.acquire(poor, 1, 1_000_000)
    records = [world.record(rich, input_tokens=place) for place in range(5)]
    crash = world.record(
        rich,
        outcome=usage_record_pb2.OUTCOME_EDGE_CRASH,
        waive_reason=usage_record_pb2.WAIVE_REASON_EDGE_CRASH,
        charge_nanos=0,
    )
    await world.report([*records, crash, world.record(poor), world.record(poor)])
    await world.report([world.record(rich)])
    await world.money.renew([(lease.lease_id, DOLLAR // 2)])


async def _findings(world: MeteringWorld, workspace_id: bytes | None = None) -> list[Finding]:
    database = world.money.database
    async with database.jobs.transaction("system", snapshot=True) as tx:
        return [found async for found in verify(tx, workspace_id, UsageProofs(), Tally())]


async def test_an_honest_ledger_has_no_findings(world: MeteringWorld) -> None:
    """Everything was looked at, and all adds up."""
    tally = Tally()
    async with world.money.database.jobs.transaction("system", snapshot=True) as tx:
        found = [each async for each in verify(tx, None, UsageProofs(), tally)]
    assert found == []
    ((entries, charges),) = await world.rows(
        "SELECT (SELECT count(*) FROM ledger_entry),"
        " (SELECT CAST(sum(charge_nanos) AS bigint) FROM usage_record)"
    )
    assert (tally.wallets, tally.records, tally.findings) == (2, 9, 0)
    assert (tally.entries, tally.charges) == (entries, charges)


async def test_an_honest_ledger_with_late_records_has_no_findings(world: MeteringWorld) -> None:
    """Late waivers stand outside of the chains and are checked all the same."""
    ((workspace,),) = await world.rows("SELECT workspace_id FROM wallet WHERE posted > 0")
    record = world.record(workspace.bytes, moment=world.money.now.replace(month=7))  # type: ignore[attr-defined]
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("RESET ROLE")
        await tx.run("SET LOCAL ROLE oneapi_owner")
        await tx.run("UPDATE archive_watermark SET month = '2026-09-01'")
        await tx.commit()
    await world.report([record])
    assert await world.rows("SELECT count(*) FROM usage_late") == [(1,)]
    assert await _findings(world) == []


async def test_a_proof_of_one_workspace_looks_at_no_other(
    world: MeteringWorld, postgres_server: PostgresServer, database_url: str
) -> None:
    """A workspace's own proof is not disturbed by another's trouble."""
    rows = await world.rows("SELECT workspace_id FROM wallet ORDER BY posted")
    poor, rich = (row[0].bytes for row in rows)  # type: ignore[attr-defined]
    await _tamper(
        postgres_server.superuser_url_of(database_url),
        "UPDATE wallet SET posted = posted + 1 WHERE posted > 1000000000",
    )
    assert await _findings(world, poor) == []
    assert await _findings(world, rich) != []


ENTRY = "UPDATE ledger_entry SET {} WHERE account = 'held' AND amount > 0 AND position = 1"
RECORD = "UPDATE usage_record SET {} WHERE input_tokens = 4"
SETTLE = "UPDATE ledger_txn SET {} WHERE kind = 'settle' AND record_count = 2"

TAMPERING = [
    (ENTRY.format("amount = amount # 1"), "entries_sum wallet_chain wallet_sums"),
    (ENTRY.format("account = 'helt'"), "wallet_chain wallet_sums"),
    (ENTRY.format("position = 7"), "wallet_chain"),
    (ENTRY.format("workspace_id = NULL"), "wallet_chain wallet_sums"),
    (
        "UPDATE ledger_entry SET grant_id = NULL WHERE account = 'promo' AND amount < 0",
        "grant_sums wallet_chain",
    ),
    ("DELETE FROM ledger_entry WHERE account = 'rev.usage'", "entries_sum settlement_sum"),
    (SETTLE.format("kind = 'late_waiver'"), "wallet_chain"),
    (SETTLE.format("business_key = business_key || 'x'"), "wallet_chain"),
    (SETTLE.format("effective_at = effective_at + interval '1 us'"), "wallet_chain"),
    (SETTLE.format("created_at = created_at + interval '1 us'"), "wallet_chain"),
    (SETTLE.format("actor = 'other'"), "wallet_chain"),
    (SETTLE.format("usage_month = '2026-10-01'"), "wallet_chain"),
    (SETTLE.format("record_count = record_count + 1"), "records_root wallet_chain"),
    (SETTLE.format("records_root = sha256(records_root)"), "records_root wallet_chain"),
    (SETTLE.format("content_hash = sha256(content_hash)"), "wallet_chain"),
    ("UPDATE wallet_log SET hash = sha256(hash) WHERE sequence = 1", "wallet_chain"),
    ("UPDATE wallet_log SET previous_hash = sha256(hash) WHERE sequence = 2", "wallet_chain"),
    ("UPDATE wallet_log SET held_after = held_after + 1 WHERE sequence = 2", "wallet_chain"),
    (
        "DELETE FROM wallet_log WHERE hash IN (SELECT head_hash FROM wallet)",
        "wallet_chain wallet_sums",
    ),
    ("UPDATE wallet SET posted = posted + 1", "grant_sums wallet_sums"),
    ("UPDATE wallet SET head_hash = sha256(head_hash)", "wallet_chain"),
    ("UPDATE credit_grant SET remaining = remaining - 1 WHERE remaining > 0", "grant_sums"),
    ("UPDATE lease SET settled_total = settled_total - 1 WHERE settled_total > 0", "lease_sums"),
    ("UPDATE lease_slice SET used = used - 1 WHERE used > 0", "lease_sums"),
    ("UPDATE lease SET closed_at = opened_at", "lease_sums"),
    ("UPDATE lease_slice SET amount = amount + 1", "grant_sums lease_sums"),
    ("UPDATE ledger_entry SET account = 'frozen' WHERE account = 'promo'", "grant_sums"),
    ("UPDATE ledger_entry SET grant_id = NULL WHERE account = 'held'", "wallet_chain"),
    (
        "UPDATE ledger_entry SET account = 'refund_pending' WHERE account = 'promo' AND amount < 0",
        "grant_sums wallet_sums",
    ),
    (RECORD.format("input_tokens = input_tokens # 1"), "record_charge record_content records_root"),
    (RECORD.format("tool_calls = 1"), "record_content records_root"),
    (RECORD.format("charge_nanos = charge_nanos # 1"), "record_charge records_root settlement_sum"),
    (RECORD.format("waived_nanos = 1"), "record_charge"),
    (RECORD.format("waive_reason = 3"), "record_charge record_content"),
    (RECORD.format("price_version = 2"), "record_charge record_content records_root"),
    (RECORD.format("total_ms = total_ms + 1"), "record_content"),
    (RECORD.format("requested_lane = 300"), "record_content"),
    (RECORD.format("data_policy = 3"), "record_content"),
    (RECORD.format("key_id = workspace_id"), "record_content"),
    (RECORD.format("attempts[1] = 9"), "record_content"),
    (RECORD.format("started_at = started_at + interval '1 us'"), "record_content"),
    (RECORD.format("content_hash = sha256(content_hash)"), "record_content"),
    (RECORD.format("settlement_id = id"), "records_root settlement_sum"),
    (
        "DELETE FROM usage_record WHERE input_tokens = 4",
        "records_root rollup_sums settlement_sum",
    ),
    ("UPDATE usage_hourly SET charge_nanos = charge_nanos + 1", "rollup_sums"),
    ("UPDATE usage_hourly SET waived_nanos = waived_nanos + 1", "rollup_sums"),
    ("UPDATE usage_hourly SET requests = requests - 1", "rollup_sums"),
    ("UPDATE usage_hourly SET failed_requests = failed_requests + 1", "rollup_sums"),
    ("UPDATE usage_hourly SET quantities[12] = 1", "rollup_sums"),
    ("UPDATE usage_hourly SET lane = 2", "rollup_sums"),
    ("UPDATE usage_hourly SET key_id = workspace_id", "rollup_sums"),
    ("UPDATE usage_hourly SET hour = hour + interval '1 hour'", "rollup_sums"),
    ("DELETE FROM usage_hourly", "rollup_sums"),
    (
        "UPDATE price_tier SET rates[1] = rates[1] + 1000000",
        "record_charge",
    ),
]


@pytest.mark.parametrize(("statement", "checks"), TAMPERING, ids=[sql for sql, _ in TAMPERING])
async def test_a_change_behind_the_ledgers_back_is_found(
    world: MeteringWorld,
    postgres_server: PostgresServer,
    database_url: str,
    statement: str,
    checks: str,
) -> None:
    """One value changed by the superuser, past all privileges."""
    await _tamper(postgres_server.superuser_url_of(database_url), statement)
    found = await _findings(world)
    assert set(checks.split()) <= {finding.check for finding in found}


async def _tamper(dsn: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        # Foreign keys and triggers are no obstacle to somebody with the superuser's rights.
        await connection.execute("SET session_replication_role = replica")
        cursor = await connection.execute(statement)
        assert cursor.rowcount > 0

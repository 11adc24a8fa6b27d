"""What core tells of itself, on a real database that a test has hurt, and what the doctor says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import psycopg
import pytest

from core.doctor import BOOKS_SECONDS, books_not_told, books_of, findings_of
from core.operations.rpc import operations_service
from kit.doctor import Finding, Verdict
from oneapi.operations.v1 import operations_service_pb2 as pb
from oneapi.operations.v1 import operations_service_pb2_grpc
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.postgres import PostgresServer

_SILENCE = timedelta(hours=1)
_KEY = """
INSERT INTO api_key (id, workspace_id, display_name, secret_hint, secret_hash, pepper_version,
    state, lane, allowed_models, default_model, model_aliases, requests_per_minute,
    tokens_per_minute, concurrent_requests, spend_per_day, spend_per_month, spend_total,
    allowed_networks, created_at, version)
SELECT gen_random_uuid(), id, 'A key', 'hint', sha256('x'), 1, 1, 1, '{}', '', '{}', 0, 0, 0, 0,
    0, 0, '{}', created_at, 1 FROM workspace
"""
_HURTS = {
    "wallets": ("UPDATE wallet SET posted = posted + 1", "books"),
    "entries": (
        "UPDATE ledger_entry SET amount = amount + 1 WHERE account = 'exp.promo'",
        "books",
    ),
    "schema": ("UPDATE alembic_version SET version_num = '9999'", "schema"),
    "partitions": ("DROP TABLE usage_record_y2026m12", "partitions"),
    "prices": (
        (
            "INSERT INTO route VALUES (1, 1, 1), (1, 2, 1);"
            " INSERT INTO route_candidate SELECT 1, lane, 1, 'm', 1, 0, 1, 1 FROM route"
        ),
        "prices",
    ),
    "upstreams": (
        (
            "UPDATE upstream SET name = 'acme'; INSERT INTO route VALUES (1, 1, 1);"
            " INSERT INTO route_candidate VALUES (1, 1, 1, 'm', 1, 0, 1, 1)"
        ),
        "upstreams",
    ),
    "policies": (
        (
            "UPDATE upstream SET name = 'acme', enabled = true, credential_sealed = 'x',"
            " data_policy = 0; INSERT INTO route VALUES (1, 1, 1);"
            " INSERT INTO route_candidate VALUES (1, 1, 1, 'm', 1, 0, 1, 1)"
        ),
        "data policies",
    ),
    "zero retention": (
        f"{_KEY}; UPDATE api_key SET requires_zero_retention = true",
        "zero retention",
    ),
    "zero retention of a workspace": (
        f"{_KEY}; UPDATE workspace SET requires_zero_retention = true",
        "zero retention",
    ),
    "alarms": (
        "INSERT INTO alarm SELECT gen_random_uuid(), '2026-11-19', 'spool_gap', 1, 1, '', 5, 9",
        "alarm spool_gap",
    ),
    "epochs": (
        (
            "UPDATE edge_epoch SET opened_at = '2026-11-20 11:00+00';"
            " INSERT INTO edge_epoch SELECT 1, 2, 'nonce-of-sixteen', '2026-11-20 12:00+00',"
            " NULL, 0, 0"
        ),
        "epochs",
    ),
}


@pytest.fixture
async def port(world: MeteringWorld) -> AsyncIterator[int]:
    """A server of the service."""
    pool, clock = world.money.database.jobs, WorldClock(world.money)
    async with serving([operations_service(pool, clock, lease_silence=_SILENCE)]) as served:
        yield served


async def examined(port: int, world: MeteringWorld) -> list[Finding]:
    """Ask core, and return what the doctor makes of it; the world's clock is a made-up one."""
    async with calling(port) as channel:
        stub = operations_service_pb2_grpc.OperationsServiceStub(channel)
        found = await stub.Examine(pb.ExamineRequest())
        books = await stub.ExamineBooks(pb.ExamineBooksRequest())
    found.database_time_micros = found.core_time_micros
    return [*findings_of(found, WorldClock(world.money)), *books_of(books)]


def bad(findings: list[Finding]) -> list[str]:
    """Return the checks that are not right."""
    return [one.check for one in findings if one.verdict is not Verdict.OK]


async def test_a_sound_installation_has_no_complaint(world: MeteringWorld, port: int) -> None:
    """Money in wallets and in leases included."""
    workspace = await world.money.workspace(10)
    await world.report([world.record(workspace)])
    findings = await examined(port, world)
    assert bad(findings) == []
    assert {one.check for one in findings} >= {"postgresql", "schema", "partitions", "books"}


@pytest.mark.parametrize("hurt", sorted(_HURTS))
async def test_each_hurt_is_told_with_a_remedy(
    world: MeteringWorld, port: int, hurt: str, postgres_server: PostgresServer, database_url: str
) -> None:
    """Exactly the check that it concerns speaks."""
    statement, check = _HURTS[hurt]
    await world.money.workspace(10)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)
    findings = await examined(port, world)
    assert bad(findings) == [check]
    assert all(one.mend for one in findings if one.verdict is not Verdict.OK)


async def test_credit_in_a_silent_lease_is_told(world: MeteringWorld, port: int) -> None:
    """With the amount; tidying should have closed it."""
    workspace = await world.money.workspace(10)
    await world.money.acquire(workspace, 1, 1_000_000_000)
    assert bad(await examined(port, world)) == []
    world.money.pass_time(_SILENCE.total_seconds() + 1)
    findings = await examined(port, world)
    assert bad(findings) == ["leases"]
    assert any("1.00" in one.found for one in findings if one.check == "leases")


async def test_clocks_that_differ_are_a_problem(world: MeteringWorld, port: int) -> None:
    """The database's clock is the real one; the world's is not."""
    async with calling(port) as channel:
        stub = operations_service_pb2_grpc.OperationsServiceStub(channel)
        found = await stub.Examine(pb.ExamineRequest())
    assert "clocks" in bad(list(findings_of(found, WorldClock(world.money))))


async def test_books_that_take_long_do_not_mean_that_core_is_down(
    port: int, postgres_server: PostgresServer, database_url: str
) -> None:
    """The rest is told all the same; of the books the doctor says how long it has waited."""
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("LOCK TABLE ledger_entry IN ACCESS EXCLUSIVE MODE")
        async with calling(port) as channel:
            stub = operations_service_pb2_grpc.OperationsServiceStub(channel)
            assert (await stub.Examine(pb.ExamineRequest())).python_version
            with pytest.raises(grpc.RpcError) as late:
                await stub.ExamineBooks(pb.ExamineBooksRequest(), timeout=0.5)
    finding = books_not_told(late.value)
    assert finding.verdict is Verdict.WARNING
    assert f"longer than {BOOKS_SECONDS:.0f} s" in finding.found


async def test_a_key_that_some_upstream_can_serve_is_no_complaint(
    world: MeteringWorld, port: int, postgres_server: PostgresServer, database_url: str
) -> None:
    """Control: it requires zero retention, and an upstream in use keeps nothing."""
    await world.money.workspace(10)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            f"{_KEY}; UPDATE api_key SET requires_zero_retention = true; UPDATE upstream"
            " SET enabled = true, credential_sealed = 'x', data_policy = 3;"
            " INSERT INTO route VALUES (1, 1, 1);"
            " INSERT INTO route_candidate VALUES (1, 1, 1, 'm', 1, 0, 1, 1)"
        )
    assert "zero retention" not in bad(await examined(port, world))

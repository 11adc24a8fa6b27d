"""`1api credit`, `usage`, `ledger` and `audit` against a core that really runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.cli import commands
from kit.cli import Commands, Exit, run
from kit.ids import new_request_id, parse_id
from kit.rpc.client import open_channel
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1 import metering_service_pb2_grpc, usage_record_pb2
from oneapi.metering.v1.metering_service_pb2 import RecordUsageResponse
from tests.support.core_process import TOKENS, CoreProcess, running
from tests.support.metering_world import KEY, batch
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow


class Source:
    """Core's commands, without an installed entry point."""

    name = "core"

    def load(self) -> Any:
        """Return the commands."""
        return commands


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """One database for all tests of this file."""
    dsn = postgres_server.make_database(template=migrated_template)
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture(scope="module")
def core(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreProcess]:
    """One core for all tests of this file."""
    with running(tmp_path_factory.mktemp("core"), database) as core:
        yield core


class Cli:
    """Runs commands the way the console does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json, check its exit code, and return what it printed."""
        found = run(Commands([Source()]), [*words, "--json"])
        printed = self._capsys.readouterr()
        assert found == code, printed.err
        return json.loads(printed.out or printed.err)

    def table(self, *words: str) -> str:
        """Run a command and return the table that it printed."""
        run(Commands([Source()]), list(words))
        return self._capsys.readouterr().out


@pytest.fixture
def cli(
    core: CoreProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """The command line, pointed at the running core."""
    monkeypatch.setenv("ONEAPI_CORE_TARGET", core.target)
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(core.data_dir))
    return Cli(capsys)


async def _use(core: CoreProcess, database: str) -> usage_record_pb2.UsageRecord:
    """Report one request of the example workspace, as an edge does."""
    with psycopg.connect(database) as connection:
        connection.execute("SET ROLE oneapi_system")
        price = connection.execute(
            "SELECT p.number, p.model_number FROM price_version AS p JOIN price_tier AS t"
            " ON t.price_version = p.number WHERE p.lane = 1 AND t.rates[1] > 0 LIMIT 1"
        ).fetchone()
    assert price is not None
    record = usage_record_pb2.UsageRecord(
        request_id=new_request_id(),
        workspace_id=parse_id("ws", core.example["workspace_id"]),
        key_id=KEY,
        started_at_micros=time.time_ns() // 1_000,
        price_version=price[0],
        model_number=price[1],
        served_lane=Lane.LANE_DEFAULT,
        quantities=Quantities(input_tokens=1_000_000),
        outcome=usage_record_pb2.OUTCOME_SUCCEEDED,
        http_status=200,
    )
    async with open_channel(core.target, TOKENS["edge"]) as channel:
        call = metering_service_pb2_grpc.MeteringServiceStub(channel).RecordUsage()
        await call.write(batch([record]))
        answer = await call.read()
        await call.done_writing()
    assert isinstance(answer, RecordUsageResponse)
    assert not answer.rejected
    return record


def test_granted_credit_is_in_the_balance(cli: Cli) -> None:
    """Decimal strings; total = held + available + frozen; the same request id gives once."""
    before = cli("credit", "balance")
    assert set(before) == {"total", "held", "available", "frozen", "debt"}
    words = ("credit", "grant", "--amount", "5.00", "--request-id", "cli-test-0001")
    granted = cli(*words, "--expires-at", "2040-01-01")
    again = cli(*words, "--expires-at", "2040-01-01")
    assert again["grant_id"] == granted["grant_id"]
    assert granted["expires_at"] == "2040-01-01T00:00:00Z"
    after = cli("credit", "balance")
    assert float(after["total"]) - float(before["total"]) == 5
    assert granted["balance"] == after
    assert granted["grant_id"] in [each["grant_id"] for each in cli("credit", "list")]


def test_credit_of_nothing_is_refused(cli: Cli) -> None:
    """Exit code 4 and the reason for programs; a wrong amount is wrong usage."""
    refused = cli("credit", "grant", "--amount", "0", code=Exit.REFUSED)
    assert refused["error"]["reason"] == "AMOUNT_OUT_OF_RANGE"
    cli("credit", "grant", "--amount", "1e3", code=Exit.USAGE)


async def test_a_request_is_one_record_and_one_charge(
    cli: Cli, core: CoreProcess, database: str
) -> None:
    """The list, the record, the sum and the ledger say the same figure."""
    record = await _use(core, database)
    request_id = f"req_{record.request_id.hex()}"
    (listed,) = [row for row in cli("usage", "list") if row["request_id"] == request_id]
    assert listed == cli("usage", "show", request_id)
    assert (listed["outcome"], listed["error_class"]) == ("succeeded", None)
    settlement = cli("ledger", "show", listed["settlement_id"])
    entries = {entry["account"]: entry["amount"] for entry in settlement["entries"]}
    assert entries["rev.usage"] == listed["charge"] != "0.00"
    assert cli("usage", "sum")["total"]["charge"] == listed["charge"]
    assert cli("usage", "list", "--until", "2020-01-01") == []
    assert request_id in cli.table("usage", "list")
    assert "total" in cli.table("usage", "sum")


def test_an_unknown_record_is_not_found(cli: Cli) -> None:
    """Exit code 3."""
    cli("usage", "show", "req_" + "0" * 32, code=Exit.NOT_FOUND)


def test_the_trial_balance_is_zero(cli: Cli) -> None:
    """All accounts together."""
    assert cli("ledger", "trial-balance")["total"] == "0.00"
    assert cli("ledger", "list", "--limit", "1") == cli("ledger", "show")[:1]


def test_usage_months_says_where_records_are(cli: Cli) -> None:
    """Months with partitions, oldest first; of young ones all is hot."""
    months = cli("usage", "months")
    assert [item["month"] for item in months] == sorted(item["month"] for item in months)
    assert (months[-1]["state"], months[-1]["read_from"]) == ("hot", "hot")


async def test_verification_fails_after_a_change_behind_its_back(
    cli: Cli, core: CoreProcess, database: str, postgres_server: PostgresServer
) -> None:
    """Exit code 0 before, 1 after one number of one record was changed by SQL."""
    record = await _use(core, database)
    proven = cli("audit", "verify")
    assert (proven["ok"], proven["archived_records"]) == (True, 0)
    assert "charges" in cli.table("audit", "verify")
    with psycopg.connect(postgres_server.superuser_url_of(database)) as connection:
        connection.execute(
            "UPDATE usage_record SET input_tokens = input_tokens + 1 WHERE id = %s",
            (record.request_id.hex(),),
        )
    found = cli("audit", "verify", code=Exit.FAILED)
    checks = {finding["check"] for finding in found["details"]}
    assert checks == {"records_root", "record_charge", "record_content", "rollup_sums"}
    assert "records_root" in cli.table("audit", "verify")

"""`1api refund` and `1api dispute` against a core that really runs, and a simulated provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.cli import commands
from kit.cli import Commands, Exit, run
from kit.rpc.client import sync_channel
from oneapi.billing.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from oneapi.common.v1.money_pb2 import Money
from tests.support.core_process import TOKENS, CoreProcess, running
from tests.support.postgres import PostgresServer
from tests.support.processes import until
from tests.support.stripe import API_KEY, WEBHOOK_SECRET, StripeSimulator

pytestmark = pytest.mark.slow


class Source:
    """Core's commands, without an installed entry point."""

    name = "core"

    def load(self) -> Any:
        """Return the commands."""
        return commands


@pytest.fixture(scope="module")
def simulator() -> Iterator[StripeSimulator]:
    """One provider for all tests of this file."""
    with StripeSimulator(seed=7) as process:
        yield process


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that moves core's clock."""
    path = tmp_path_factory.mktemp("clock") / "offset"
    path.write_text("0")
    return path


@pytest.fixture(scope="module")
def core(
    postgres_server: PostgresServer,
    migrated_template: str,
    simulator: StripeSimulator,
    clock: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CoreProcess]:
    """One core for all tests of this file."""
    dsn = postgres_server.make_database(template=migrated_template)
    settings = {
        "STRIPE_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "STRIPE_BASE_URL": simulator.origin,
        "TEST_CLOCK": str(clock),
    }
    with running(tmp_path_factory.mktemp("core"), dsn, **settings) as core:
        yield core
    postgres_server.drop_database(dsn)


@pytest.fixture
def cli(
    core: CoreProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """The command line, pointed at the running core."""
    monkeypatch.setenv("ONEAPI_CORE_TARGET", core.target)
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(core.data_dir))

    def call(*words: str, code: int = 0) -> Any:
        found = run(Commands([Source()]), [*words, "--json"])
        printed = capsys.readouterr()
        assert found == code, printed.err
        return json.loads(printed.out or printed.err)

    return call


def _buy(core: CoreProcess, simulator: StripeSimulator, request_id: str) -> str:
    """Buy 25.00 of credit on the provider's page; return the payment's id."""
    with (
        sync_channel(core.target, TOKENS["operator"]) as channel,
        sync_channel(core.target, TOKENS["edge"]) as edge,
    ):
        payments = payment_service_pb2_grpc.PaymentServiceStub(channel)
        made = payments.CreateCheckout(
            payment_service_pb2.CreateCheckoutRequest(
                request_id=request_id,
                workspace_id=core.example["workspace_id"],
                amount=Money(amount_nanos=25_000_000_000, currency_code="USD"),
            )
        ).payment
        session = made.checkout_url.rpartition("/")[2]
        simulator.order(f"checkout/{session}/pay")
        payment_service_pb2_grpc.PaymentServiceStub(edge).NoteCheckoutReturn(
            payment_service_pb2.NoteCheckoutReturnRequest(session_id=session)
        )
        wanted = payment_service_pb2.GetPaymentRequest(payment_id=made.payment_id)
        paid = payment_pb2.Payment.STATE_SUCCEEDED
        until(lambda: payments.GetPayment(wanted).payment.state == paid)
    payment_id: str = made.payment_id
    return payment_id


def test_a_refund_is_asked_for_approved_and_listed(
    cli: Callable[..., Any], core: CoreProcess, simulator: StripeSimulator
) -> None:
    """Unused credit goes back; more than there is, or of nothing known, does not."""
    payment = _buy(core, simulator, "cli-buy-0001")
    before = cli("credit", "balance")
    words = ("refund", "ask", payment, "--amount", "10.00", "--request-id", "cli-refund-1")
    asked = cli(*words)
    assert (asked["state"], asked["net"]) == ("requested", "10.00")
    assert cli(*words) == asked
    done = cli("refund", "approve", asked["refund_id"])
    assert (done["state"], done["decided_by"]) == ("succeeded", "operator")
    assert cli("refund", "show", asked["refund_id"]) == done
    after = cli("credit", "balance")
    assert float(before["total"]) - float(after["total"]) == 10
    other = cli("refund", "ask", payment, "--reason", "duplicate")
    assert other["net"] == "15.00"
    assert cli("refund", "reject", other["refund_id"])["state"] == "rejected"
    assert [row["refund_id"] for row in cli("refund", "list", "--state", "succeeded")] == [
        asked["refund_id"]
    ]
    refused = cli("refund", "ask", payment, "--amount", "15.01", code=Exit.REFUSED)
    assert refused["error"]["reason"] == "INSUFFICIENT_CREDITS"
    cli("refund", "show", "refund_" + "0" * 32, code=Exit.NOT_FOUND)
    assert cli("audit", "verify")["ok"]


def test_a_dispute_is_shown_answered_and_its_debt_given_up(
    cli: Callable[..., Any], core: CoreProcess, simulator: StripeSimulator, clock: Path
) -> None:
    """The hourly sweep hears of it, should no webhook come."""
    payment = _buy(core, simulator, "cli-buy-0002")
    (intent,) = [
        one["id"]
        for one in simulator.objects("payment_intent")
        if one["metadata"]["oneapi_payment"] == payment
    ]
    opened = simulator.order("disputes", payment_intent=intent)
    simulator.order("efw", payment_intent=intent)
    clock.write_text("3700")
    until(lambda: bool(cli("dispute", "list", "--open")), 60)
    (found,) = cli("dispute", "list")
    assert (found["state"], found["payment_id"], found["frozen"]) == ("open", payment, "25.00")
    assert cli("dispute", "show", found["dispute_id"])["stripe_id"] == opened["id"]
    bundle = cli("dispute", "evidence", found["dispute_id"])
    assert (bundle["bought"], bundle["used"], bundle["requests"]) == ("25.00", "0.00", 0)
    assert cli("dispute", "submit", found["dispute_id"])["state"] == "under_review"
    until(lambda: bool(cli("dispute", "warnings")))
    refused = cli("dispute", "write-off", "--amount", "1.00", code=Exit.REFUSED)
    assert refused["error"]["reason"] == "AMOUNT_OUT_OF_RANGE"

"""`1api credit buy …` against a core that really runs, with its loops, and a simulated provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.cli import commands
from kit.cli import Commands, Exit, run
from kit.rpc.client import sync_channel
from oneapi.billing.v1 import payment_service_pb2, payment_service_pb2_grpc
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
    with StripeSimulator() as process:
        yield process


@pytest.fixture(scope="module")
def core(
    postgres_server: PostgresServer,
    migrated_template: str,
    simulator: StripeSimulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CoreProcess]:
    """One core for all tests of this file."""
    dsn = postgres_server.make_database(template=migrated_template)
    settings = {
        "STRIPE_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "STRIPE_BASE_URL": simulator.origin,
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


def come_back(core: CoreProcess, page: str) -> None:
    """Come back from the provider's page, as the edge would tell."""
    session = page.rpartition("/")[2]
    with sync_channel(core.target, TOKENS["edge"]) as edge:
        payment_service_pb2_grpc.PaymentServiceStub(edge).NoteCheckoutReturn(
            payment_service_pb2.NoteCheckoutReturnRequest(session_id=session)
        )


def test_credit_from_the_first_page_to_automatic_top_up(
    core: CoreProcess, simulator: StripeSimulator, cli: Callable[..., Any]
) -> None:
    """Buy, save the card, charge it, let it buy by itself, and compare the books."""
    cli("credit", "auto", "--below", "5", "--buy", "20", code=Exit.REFUSED)
    refused = cli("credit", "buy", "--amount", "10.001", code=Exit.REFUSED)
    assert refused["error"]["reason"] == "INVALID_ARGUMENT"
    bought = cli("credit", "buy", "--amount", "10.00", "--save-card", "--request-id", "buy-00001")
    again = cli("credit", "buy", "--amount", "10.00", "--save-card", "--request-id", "buy-00001")
    assert again == bought
    simulator.order(f"checkout/{bought['checkout_url'].rpartition('/')[2]}/pay")
    come_back(core, bought["checkout_url"])
    until(lambda: cli("credit", "payments")[0]["state"] == "succeeded")
    assert cli("credit", "card") == {"has_card": True, "brand": "visa", "last4": "4242"}
    charged = cli("credit", "buy", "--amount", "15", "--with-card")
    assert (charged["state"], charged["card"]) == ("succeeded", "visa 4242")
    shown = cli(
        *("credit", "auto", "--below", "1000", "--buy", "20", "--monthly-cap", "30"),
    )
    assert (shown["state"], shown["threshold"], shown["monthly_cap"]) == ("on", "1000.00", "30.00")
    until(lambda: cli("credit", "payments")[0]["kind"] == "automatic")
    until(lambda: cli("credit", "payments")[0]["state"] == "succeeded")
    assert cli("credit", "auto", "--off")["state"] == "off"
    compared = cli("credit", "reconcile")
    assert (compared["difference"], compared["unexplained"]) == ("0.00", [])
    assert compared["balance"] != "0.00"
    told = (core.data_dir / "metrics" / "stripe.prom").read_text()
    assert "oneapi_stripe_difference_cents 0.0" in told
    assert cli("credit", "card", "--remove")["has_card"] is False


def test_whom_receipts_name(cli: Callable[..., Any]) -> None:
    """What is not said stays; erasing takes all."""
    cli("credit", "profile", "--name", "Example Ltd", "--email", "a@example.org")
    changed = cli("credit", "profile", "--country", "AT")
    assert (changed["name"], changed["email"], changed["country"]) == (
        *("Example Ltd", "a@example.org"),
        "AT",
    )
    assert cli("credit", "profile") == changed
    assert set(cli("credit", "profile", "--erase").values()) == {""}

"""`1api key …` and `1api catalog …` against a core that really runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.cli import commands
from kit.cli import Commands, run
from kit.secret import is_well_formed
from tests.support.core_process import CoreProcess, running
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow


class Source:
    """Core's commands, without an installed entry point."""

    name = "core"

    def load(self) -> Any:
        """Return the commands."""
        return commands


@pytest.fixture(scope="module")
def core(
    postgres_server: PostgresServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CoreProcess]:
    """One core for all tests of this file."""
    database = postgres_server.make_database(template=migrated_template)
    with running(tmp_path_factory.mktemp("core"), database) as core:
        yield core
    postgres_server.drop_database(database)


class Cli:
    """Runs commands the way the console does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> Any:
        """Run a command, check its exit code, and return what it printed as JSON."""
        found = run(Commands([Source()]), [*words, "--json"])
        printed = self._capsys.readouterr()
        assert found == code, printed.err
        return json.loads(printed.out if code == 0 else printed.err)

    def table(self, *words: str) -> str:
        """Run a command and return the table that it printed."""
        assert run(Commands([Source()]), list(words)) == 0
        return self._capsys.readouterr().out


@pytest.fixture
def cli(
    core: CoreProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """The command line, pointed at the running core."""
    monkeypatch.setenv("ONEAPI_CORE_TARGET", core.target)
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(core.data_dir))
    return Cli(capsys)


def test_a_key_is_created_in_the_example_workspace(cli: Cli, core: CoreProcess) -> None:
    """Its secret is shown once and never again."""
    created = cli("key", "create", "mine", "--lane", "coding", "--spend-per-day", "1.50")
    assert is_well_formed(created["secret"])
    shown = cli("key", "show", created["key_id"])
    assert "secret" not in shown
    assert shown["workspace_id"] == core.example["workspace_id"]
    assert (shown["lane"], shown["spend_per_day"]) == ("coding", "1.50")
    assert created["key_id"] in {row["key_id"] for row in cli("key", "list")}


def test_a_key_goes_through_its_life(cli: Cli) -> None:
    """Every step is in its record, newest first."""
    key_id = cli("key", "create", "life")["key_id"]
    states = [cli("key", step, key_id)["state"] for step in ("disable", "enable")]
    rotated = cli("key", "rotate", key_id, "--grace-seconds", "60")
    assert is_well_formed(rotated["secret"])
    assert rotated["previous_secret_expires_at"] is not None
    states.append(cli("key", "revoke", key_id)["state"])
    assert states == ["disabled", "active", "revoked"]
    events = [event["event"] for event in cli("key", "events", key_id)]
    assert events == ["revoked", "rotated", "enabled", "disabled", "created"]


def test_an_update_changes_only_what_it_says(cli: Cli) -> None:
    """Whoever raises a limit does not open the key's networks to the world."""
    options = ("--network", "10.0.0.0/8", "--requests-per-minute", "5", "--lane", "economy")
    key_id = cli("key", "create", "careful", *options)["key_id"]
    updated = cli("key", "update", key_id, "--requests-per-minute", "9", "--reset", "lane")
    assert updated["name"] == "careful"
    assert updated["networks"] == ["10.0.0.0/8"]
    assert (updated["requests_per_minute"], updated["lane"]) == (9, None)


def test_a_key_may_require_zero_retention(cli: Cli) -> None:
    """And may stop doing so, without another change."""
    created = cli("key", "create", "private", "--zero-retention", "--lane", "economy")
    assert created["zero_retention"]
    key_id = created["key_id"]
    assert cli("key", "update", key_id, "--lane", "coding")["zero_retention"]
    updated = cli("key", "update", key_id, "--no-zero-retention")
    assert (updated["zero_retention"], updated["lane"]) == (False, "coding")


def test_a_workspace_goes_through_its_life(cli: Cli) -> None:
    """What is not said stays; web origins are off until somebody names some."""
    made = cli("workspace", "create", "Team", "--zero-retention")
    ws = made["workspace_id"]
    assert (made["lane"], made["zero_retention"], made["cors_origins"]) == ("default", True, [])
    origins = ("--cors-origin", "https://app.example.com", "--cors-origin", "http://localhost:3000")
    updated = cli("workspace", "update", ws, *origins, "--lane", "coding")
    assert updated["cors_origins"] == ["http://localhost:3000", "https://app.example.com"]
    assert (updated["name"], updated["zero_retention"], updated["lane"]) == ("Team", True, "coding")
    assert cli("workspace", "show", ws) == updated
    closed = cli("workspace", "update", ws, "--no-cors", "--no-zero-retention", "--name", "Crew")
    assert (closed["name"], closed["zero_retention"], closed["cors_origins"]) == ("Crew", False, [])
    assert closed["lane"] == "coding"
    limited = cli("workspace", "update", ws, "--spend-per-day", "5", "--spend-total", "0.5")
    assert (limited["spend_per_day"], limited["spend_total"]) == ("5.00", "0.50")
    kept = cli("workspace", "update", ws, "--spend-per-day", "0")
    assert (kept["spend_per_day"], kept["spend_per_month"], kept["spend_total"]) == (
        None,
        None,
        "0.50",
    )
    states = [cli("workspace", step, ws)["state"] for step in ("suspend", "resume")]
    assert states == ["suspended", "active"]
    assert ws in {row["workspace_id"] for row in cli("workspace", "list")}


def test_a_wrong_origin_is_refused(cli: Cli, core: CoreProcess) -> None:
    """A path, or a list of origins beside none at all."""
    ws = str(core.example["workspace_id"])
    words = ("workspace", "update", ws, "--cors-origin", "https://app.example.com/path")
    assert cli(*words, code=4)["error"]["reason"] == "INVALID_ARGUMENT"
    cli("workspace", "update", ws, "--no-cors", "--cors-origin", "https://a.example", code=2)


def test_exit_codes_say_what_went_wrong(cli: Cli) -> None:
    """Not found is 3, refused is 4, wrong usage is 2."""
    assert cli("key", "show", "key_" + "0" * 32, code=3)["error"]["reason"] == "NOT_FOUND"
    key_id = cli("key", "create", "gone")["key_id"]
    cli("key", "revoke", key_id)
    assert cli("key", "enable", key_id, code=4)["error"]["reason"] == "INVALID_STATE"
    assert cli("key", "show", "nonsense", code=4)["error"]["reason"] == "INVALID_ARGUMENT"
    cli("key", "create", "poor", "--spend-total", "-1", code=2)


def test_no_core_is_unreachable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """5, so that a script may try again."""
    monkeypatch.setenv("ONEAPI_CORE_TARGET", "127.0.0.1:1")
    assert cli("key", "list", code=5)["error"]["reason"] == "UNAVAILABLE"


def test_the_catalogue_is_listed_and_shown(cli: Cli) -> None:
    """By public id or by alias."""
    assert "gpt-4o" in {model["public_id"] for model in cli("catalog", "list")}
    shown = cli("catalog", "show", "claude-sonnet-4-5")
    assert shown["public_id"] == "claude-sonnet-4.5"
    assert shown["prices"][0]["tiers"][0]["input"] == "3.00"
    routes = {route["lane"]: route for route in cli("catalog", "show", "gpt-4o")["routes"]}
    assert routes["coding"]["balance"] == "sticky"
    assert routes["opportunistic"]["spare_only"]
    assert routes["economy"]["queue_rank"] > routes["priority"]["queue_rank"]
    assert routes["default"]["candidates"][0]["upstream"] == "openai"
    cli("catalog", "show", "no-such-model", code=3)


def test_upstreams_show_no_credentials(cli: Cli) -> None:
    """Only whether there is one."""
    found = {row["name"]: row for row in cli("catalog", "upstreams")}
    assert found["openai"]["has_credential"] is False
    assert all("credential" not in row for row in found.values())


def test_a_document_is_compared_and_imported(cli: Cli, tmp_path: Path) -> None:
    """A dry run says what the import then does; the second import does nothing."""
    model = {
        "public_id": "cli-model",
        "display_name": "Model",
        "maker": "maker",
        "context_tokens": 100,
        "max_output_tokens": 10,
        "routes": [{"candidates": [{"upstream": "acme", "upstream_model": "M"}]}],
        "prices": [{"tiers": [{"input": 1, "output": 2}]}],
    }
    upstream: dict[str, Any] = {"name": "acme", "base_url": "https://acme.example/v1"}
    file = tmp_path / "catalog.json"
    states = [{"endpoint": "audio_speech", "status": "limited", "note": "In some regions."}]
    upstream |= {"surfaces": ["embeddings", "chat_completions"], "data_policy": "retains"}
    whole = {"format": 1, "upstreams": [upstream], "models": [model], "endpoints": states}
    file.write_text(json.dumps(whole))
    said = cli("catalog", "import", str(file), "--dry-run")
    assert cli("catalog", "import", str(file)) == said
    assert cli("catalog", "import", str(file)) == []
    acme = {row["name"]: row for row in cli("catalog", "upstreams")}["acme"]
    assert acme["enabled"]
    assert acme["surfaces"] == ["chat_completions", "embeddings"]
    assert acme["data_policy"] == "retains"
    assert cli("catalog", "endpoints") == states


def test_a_published_price_has_no_rate_that_is_free_by_omission(cli: Cli) -> None:
    """What is not said is filled in as in a document."""
    tiers = ("--tier", "input=2,output=10", "--tier", "200000:input=4,output=15,cached_input=1")
    published = cli("catalog", "price", "publish", "gpt-4o", "--lane", "economy", *tiers)
    first, second = published["tiers"]
    assert (first["reasoning"], first["cached_input"]) == ("10.00", "2.00")
    assert (second["above_context_tokens"], second["cached_input"]) == (200_000, "1.00")
    listed = cli("catalog", "price", "list", "gpt-4o")
    assert listed[0] == published


@pytest.mark.parametrize("tier", ["input=2", "input=x,output=1", "sugar=1", "a:input=1,output=2"])
def test_a_wrong_tier_is_wrong_usage(cli: Cli, tier: str) -> None:
    """Nothing is published."""
    before = cli("catalog", "price", "list", "gpt-4o")
    cli("catalog", "price", "publish", "gpt-4o", "--tier", tier, code=2)
    assert cli("catalog", "price", "list", "gpt-4o") == before


def test_a_price_in_the_past_is_refused(cli: Cli) -> None:
    """The past is what people paid."""
    words = ("gpt-4o", "--tier", "input=1,output=1", "--effective-from", "2020-01-01")
    refused = cli("catalog", "price", "publish", *words, code=4)
    assert refused["error"]["reason"] == "PRICE_IN_THE_PAST"


def test_people_get_tables(cli: Cli) -> None:
    """A line a tier for prices, the main columns for the rest."""
    assert "gpt-4o" in cli.table("catalog", "list")
    assert "above" in cli.table("catalog", "price", "list", "gpt-5.4")
    assert "hint" in cli.table("key", "list")

"""The console command: finding subcommands, output, exit codes."""

from __future__ import annotations

import json

import click
import pytest

from kit.cli import CommandFailed, Commands, Exit, output, output_line, run
from kit.reasons import InsufficientCredits, NotFound, Unavailable


@click.group
def thing() -> None:
    """Operate on things."""


@thing.command("list")
@click.pass_context
def list_things(context: click.Context) -> None:
    """List things."""
    output(context, [{"name": "a", "note": None}, {"name": "b", "note": "x"}], table=["name"])


@thing.command("show")
@click.pass_context
def show_thing(context: click.Context) -> None:
    """Show one thing."""
    output(context, {"name": "a", "parts": ["x", "y"]})


@thing.command("tail")
@click.pass_context
def tail_things(context: click.Context) -> None:
    """Follow things."""
    output_line(context, {"name": "a"})
    output_line(context, {"name": "b"})


@thing.command("fail")
@click.argument("kind")
def fail(kind: str) -> None:
    """Fail in one of several ways."""
    raise {
        "missing": NotFound(key_id="key_1"),
        "credit": InsufficientCredits(needed_nanos=5),
        "down": Unavailable(),
        "negative": CommandFailed("The chain is broken.", reason="CHAIN_BROKEN", wallet="ws_1"),
        "fault": ValueError("a text that must not be shown"),
    }[kind]


class Source:
    """A process whose commands are in memory, or cannot be loaded."""

    def __init__(self, name: str, commands: list[click.Command] | None) -> None:
        """Fail on loading if there are no commands."""
        self.name = name
        self._commands = commands

    def load(self) -> list[click.Command]:
        """Return the commands."""
        if self._commands is None:
            raise ModuleNotFoundError(name="pyarrow")
        return self._commands


@pytest.fixture
def cli() -> Commands:
    """Make a console command of one process that is installed and one that is not."""
    return Commands([Source("archiver", None), Source("core", [thing])])


def test_every_command_takes_json(cli: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is the value as it is, although the command did not ask for the flag."""
    assert run(cli, ["thing", "list", "--json"]) == Exit.OK
    listed = json.loads(capsys.readouterr().out)
    assert listed == [{"name": "a", "note": None}, {"name": "b", "note": "x"}]


def test_a_table_shows_the_chosen_columns(
    cli: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """People see what matters, programs all of it."""
    assert run(cli, ["thing", "list"]) == Exit.OK
    assert capsys.readouterr().out.split() == ["name", "─" * 6, "a", "b"]


def test_an_object_is_shown_line_by_line(cli: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    """A name and its value a line."""
    assert run(cli, ["thing", "show"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "parts" in shown
    assert '["x", "y"]' in shown


def test_an_endless_list_is_a_line_of_json_each(
    cli: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program can read line by line."""
    assert run(cli, ["thing", "tail", "--json"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", Exit.NOT_FOUND),
        ("credit", Exit.REFUSED),
        ("down", Exit.UNREACHABLE),
        ("negative", Exit.FAILED),
        ("fault", Exit.FAULT),
    ],
)
def test_the_exit_code_tells_how_it_ended(cli: Commands, kind: str, code: Exit) -> None:
    """A script can tell a refusal from an outage."""
    assert run(cli, ["thing", "fail", kind]) == code


def test_a_wrong_option_is_wrong_usage(cli: Commands) -> None:
    """As every command line tool says it."""
    assert run(cli, ["thing", "list", "--nonsense"]) == Exit.USAGE


def test_an_error_is_json_too(cli: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    """Reason and metadata on standard error; nothing on standard output."""
    run(cli, ["thing", "fail", "missing", "--json"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"] == {
        "reason": "NOT_FOUND",
        "message": "The object does not exist. key_id=key_1",
        "metadata": {"key_id": "key_1"},
    }


def test_a_fault_is_told_by_kind_and_place_only(
    cli: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of an unknown exception could hold anything."""
    run(cli, ["thing", "fail", "fault"])
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "must not be shown" not in shown


def test_a_process_that_is_not_installed_hides_no_other(
    cli: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own commands are said to be unavailable, and why."""
    assert run(cli, ["--help"]) == Exit.OK
    assert "thing" in capsys.readouterr().out
    assert run(cli, ["archive"]) == Exit.USAGE
    assert "archiver (ModuleNotFoundError: pyarrow)" in capsys.readouterr().err


def test_completion_scripts_name_the_command(
    cli: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script asks `1api` itself what comes next."""
    assert run(cli, ["completion", "zsh"]) == Exit.OK
    assert "_1API_COMPLETE=zsh_complete 1api" in capsys.readouterr().out

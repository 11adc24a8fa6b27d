"""A wrong setting is named, never shown, and starting again cannot help."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kit.cli import Commands, Exit, run
from kit.settings import PROJECT_ROOT, ProcessSettings, read_or_default


@pytest.mark.parametrize(
    ("module", "given", "named"),
    [
        ("edge", {"EDGE_PORT": "sesame"}, {"ONEAPI_EDGE_PORT"}),
        (
            "core",
            {"CORE_PORT": "70000", "PROFILE": "sesame"},
            {"DATABASE_URL", "ONEAPI_CORE_PORT", "ONEAPI_PROFILE"},
        ),
        ("archiver", {"ARCHIVER_PORT": "sesame"}, {"ONEAPI_ARCHIVER_PORT"}),
    ],
)
def test_a_process_names_the_settings_that_it_refuses(
    module: str, given: dict[str, str], named: set[str]
) -> None:
    """And ends with the exit code at which nobody starts it again."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"], **{f"ONEAPI_{name}": it for name, it in given.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == Exit.SETTINGS
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"settings_refused"}
    assert {line["variable"] for line in lines} == named
    assert "sesame" not in done.stderr


class _Source:
    name = "core"

    def load(self) -> list[object]:
        """Offer a command that reaches core."""
        from core.cli.restart import restart  # noqa: PLC0415

        return [restart]


def test_a_command_names_the_settings_that_it_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever command it is."""
    monkeypatch.setenv("ONEAPI_DISCONNECTED_SECONDS", "sesame")
    assert run(Commands([_Source()]), ["restart", "all", "--json"]) == Exit.SETTINGS
    told = capsys.readouterr().err
    assert json.loads(told)["error"]["message"] == "Wrong settings: ONEAPI_DISCONNECTED_SECONDS."


def test_who_only_looks_takes_the_default_of_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And keeps what is right."""
    monkeypatch.setenv("ONEAPI_DISCONNECTED_SECONDS", "sesame")
    monkeypatch.setenv("ONEAPI_REQUEST_MAX_SECONDS", "7")
    read = read_or_default(ProcessSettings)
    assert (read.disconnected_seconds, read.request_max_seconds) == (600, 7)

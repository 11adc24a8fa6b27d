"""The doctor's checks of the machine: each speaks where something is wrong, and names a remedy."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from kit import doctor_machine
from kit.doctor import (
    GROUP,
    Check,
    Finding,
    Practice,
    Surroundings,
    Verdict,
    doctor,
    examine,
    fine,
    load_practices,
)
from kit.settings import ProcessSettings


def surroundings(folder: Path, environment: dict[str, str] | None = None) -> Surroundings:
    """Look at a folder and an environment."""
    known = frozenset({"ONEAPI_DATA_DIR", "ONEAPI_PROFILE"})
    return Surroundings(ProcessSettings(data_dir=folder), environment or {}, {}, known)


def only(check: Check, where: Surroundings) -> Finding:
    """Return the one finding of a check."""
    (found,) = list(check(where))
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A data directory as `1api up` leaves it."""
    for name in ("keys", "dev", "spool", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
    for name in ("keys/pepper.json", "dev/credentials.json"):
        (tmp_path / name).write_text("{}")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def test_secrets_for_their_owner_only_are_fine(installed: Path) -> None:
    """Folders and files."""
    assert only(doctor_machine.secrets, surroundings(installed)).verdict is Verdict.OK


@pytest.mark.parametrize("path", ["keys/pepper.json", "dev/credentials.json", "keys", "spool"])
def test_a_secret_that_others_can_read_is_a_problem(installed: Path, path: str) -> None:
    """By name and mode, never by content."""
    (installed / path).chmod(0o755)
    found = only(doctor_machine.secrets, surroundings(installed))
    assert found.verdict is Verdict.PROBLEM
    assert f"{Path(path).name} (0755)" in found.found


def test_a_setting_that_nobody_reads_is_told(tmp_path: Path) -> None:
    """Its name is, its value may be a secret in the wrong place."""
    found = only(doctor_machine.variables, surroundings(tmp_path, {"ONEAPI_PORFILE": "sesame"}))
    assert (found.verdict, found.found) == (Verdict.WARNING, "unknown: ONEAPI_PORFILE")


def test_a_setting_with_a_name_of_its_own_is_not_read_by_ours() -> None:
    """Whoever sets ONEAPI_DATABASE_URL has another database than he thinks."""
    environment = {"ONEAPI_DATABASE_URL": "postgresql://sesame", "ONEAPI_EDGE_PORT": "1"}
    practices = load_practices(entry_points(group=GROUP))
    found = {one.check: one for one in examine(practices, environment)}["environment"]
    assert found.found == "unknown: ONEAPI_DATABASE_URL"


def test_an_environment_that_tells_content_is_a_problem(tmp_path: Path) -> None:
    """Such as keys of TLS sessions in a file."""
    found = only(doctor_machine.variables, surroundings(tmp_path, {"SSLKEYLOGFILE": "/tmp/keys"}))
    assert found.verdict is Verdict.PROBLEM
    assert "/tmp/keys" not in found.found


def test_tokens_that_would_leave_the_machine_are_a_problem(tmp_path: Path) -> None:
    """There is no TLS between the processes yet."""
    settings = ProcessSettings(data_dir=tmp_path, core_target="10.0.0.7:50051")
    found = only(doctor_machine.profile, Surroundings(settings, {}, {}))
    assert found.verdict is Verdict.PROBLEM
    assert "10.0.0.7" in found.found


def test_the_production_profile_is_told_to_refuse(tmp_path: Path) -> None:
    """It does not start yet, and says why."""
    settings = ProcessSettings(data_dir=tmp_path, profile="production")
    found = only(doctor_machine.profile, Surroundings(settings, {}, {}))
    assert (found.verdict, "mutual TLS" in found.found) == (Verdict.PROBLEM, True)


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(1 << 29, Verdict.PROBLEM), (2 << 30, Verdict.WARNING), (9 << 30, Verdict.OK)],
)
def test_a_disk_without_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict
) -> None:
    """Before it is full."""
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert only(doctor_machine.disk, surroundings(tmp_path)).verdict is verdict


def test_a_low_limit_of_open_files_is_told(tmp_path: Path) -> None:
    """The real one of this process, for the time of the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
        found = only(doctor_machine.files, surroundings(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.verdict, "1024" in found.found) == (Verdict.WARNING, True)


@pytest.mark.parametrize("areas", [0, 1])
def test_swap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, areas: int) -> None:
    """Content in memory could be written there."""
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename\tType\n" + "/swapfile\tfile\n" * areas)
    monkeypatch.setattr(doctor_machine, "_SWAPS", swaps)
    found = only(doctor_machine.memory, surroundings(tmp_path))
    assert found.verdict is (Verdict.WARNING if areas else Verdict.OK)


def broken(_surroundings: Surroundings) -> Iterable[Finding]:
    """Fail, with a text that could hold anything."""
    raise ValueError("sesame")


def well(_surroundings: Surroundings) -> Iterator[Finding]:
    """Find nothing."""
    yield fine("well", "fine")


def test_a_check_that_fails_itself_is_a_problem_and_hides_no_other() -> None:
    """Its kind and place are told, its text never."""
    found = {one.check: one for one in examine([Practice(checks=(broken, well))], {})}
    assert found["well"].verdict is Verdict.OK
    assert found["broken"].verdict is Verdict.PROBLEM
    assert "ValueError" in found["broken"].found
    assert "sesame" not in repr(found)


def test_wrong_settings_are_named_and_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their variables, never by what they hold; the data directory that is right is used."""
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(tmp_path))
    for name in ("DISCONNECTED_SECONDS", "EDGE_PORT", "ARCHIVER_PORT", "MAX_BODY_BYTES"):
        monkeypatch.setenv(f"ONEAPI_{name}", "sesame")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    found = examine(load_practices(entry_points(group=GROUP)), {})
    (settings,) = (one for one in found if one.check == "settings")
    assert settings.verdict is Verdict.PROBLEM
    assert settings.found == (
        "wrong: ONEAPI_ARCHIVER_PORT, ONEAPI_DISCONNECTED_SECONDS, "
        "ONEAPI_EDGE_PORT, ONEAPI_MAX_BODY_BYTES"
    )
    assert f"does not run on {tmp_path}" in {one.found for one in found}
    assert not [one for one in found if "check itself failed" in one.found]
    assert "sesame" not in repr(found)


class _Missing:
    name = "archiver"

    def load(self) -> Any:
        """Fail as a process does whose extra is not installed."""
        raise ModuleNotFoundError


def test_a_process_that_is_not_installed_is_told() -> None:
    """Its checks are missing, the others run."""
    (found,) = load_practices([_Missing()])
    assert isinstance(found, Finding)
    assert found.check == "archiver"


def test_the_command_ends_with_1_where_something_must_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with a row for each finding; here nothing runs."""
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(tmp_path))
    for name in [name for name in os.environ if name.endswith(("_TARGET", "CREDENTIALS"))]:
        monkeypatch.delenv(name)
    command = click.Group(commands={"doctor": doctor})
    done = CliRunner().invoke(command, ["doctor"])
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    assert json.dumps(done.output)

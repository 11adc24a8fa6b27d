"""How a command finds the running services."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.cli import CommandFailed, Exit
from kit.cli_link import core_channel, default_workspace


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the command a data directory of its own and no other settings."""
    for name in ("ONEAPI_CORE_TARGET", "ONEAPI_ARCHIVER_TARGET", "ONEAPI_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(tmp_path))
    (tmp_path / "dev").mkdir()
    return tmp_path


def test_without_credentials_core_is_unreachable(data_dir: Path) -> None:
    """Nothing runs here, and the message says what to do."""
    with pytest.raises(CommandFailed) as failure:
        core_channel()
    assert failure.value.exit_code == Exit.UNREACHABLE
    assert "1api up" in failure.value.message


def test_credentials_come_from_the_data_directory(data_dir: Path) -> None:
    """The file that `1api up` made is found without being named."""
    (data_dir / "dev" / "credentials.json").write_text(json.dumps({"operator": "t"}))
    core_channel().close()


def test_ready_json_names_other_credentials(data_dir: Path) -> None:
    """A running system says itself where they are."""
    elsewhere = data_dir / "elsewhere.json"
    elsewhere.write_text(json.dumps({"operator": "t"}))
    (data_dir / "ready.json").write_text(json.dumps({"credentials": str(elsewhere)}))
    core_channel().close()


def test_the_example_workspace_is_the_default(data_dir: Path) -> None:
    """A newcomer need not name a workspace."""
    (data_dir / "dev" / "example.json").write_text(json.dumps({"workspace_id": "ws_1"}))
    assert default_workspace() == "ws_1"


def test_without_an_example_workspace_one_must_be_named(data_dir: Path) -> None:
    """That is wrong usage."""
    with pytest.raises(CommandFailed) as failure:
        default_workspace()
    assert failure.value.exit_code == Exit.USAGE

"""When `1api up` does not start: it says why in one line and with an honest exit code."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from core.up.folder import RunFolder
from core.up.settings import read_settings
from kit.cli import CommandFailed, Exit
from tests.support.processes import PATIENCE_SECONDS
from tests.support.up import Up


def ended(up: Up) -> tuple[int, str]:
    """Wait for the end of a command that is refused; return its exit code and its words."""
    code = up.process.wait(PATIENCE_SECONDS)
    return code, up.output.read_text()


def test_the_production_profile_says_what_is_missing(tmp_path: Path) -> None:
    """It starts nothing that is half safe."""
    code, words = ended(Up(tmp_path / "var", PROFILE="production"))
    assert code == Exit.SETTINGS
    assert "mutual TLS" in words
    assert "ONEAPI_STRIPE_KEY" in words
    assert not (tmp_path / "var").exists()


def test_the_production_profile_refuses_an_environment_that_tells_tales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable that would make a library write what passes through it (P1)."""
    monkeypatch.setenv("GRPC_TRACE", "all")
    monkeypatch.setenv("ONEAPI_PROFILE", "production")
    with pytest.raises(CommandFailed) as refused:
        read_settings()
    assert refused.value.exit_code == Exit.SETTINGS
    assert "GRPC_TRACE" in refused.value.message
    assert "all" not in refused.value.message.split()


def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    """A value could be a secret that was put into the wrong variable."""
    code, words = ended(Up(tmp_path / "var", EDGE_PORT="sesame"))
    assert code == Exit.SETTINGS
    assert "ONEAPI_EDGE_PORT" in words
    assert "sesame" not in words


def test_a_second_run_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """The lock of the first run decides."""
    descriptor = RunFolder(tmp_path / "var").claim()
    try:
        code, words = ended(Up(tmp_path / "var"))
    finally:
        os.close(descriptor)
    assert code == Exit.REFUSED
    assert "Another `1api up`" in words


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """With the setting that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, words = ended(Up(tmp_path / "var", EDGE_PORT=str(port)))
    assert code == Exit.FAILED
    assert f"Port {port}" in words
    assert "ONEAPI_EDGE_PORT" in words

"""The archiver as a process: health, reflection, `1api archive status`, an orderly end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from archiver.cli import commands
from kit.cli import Commands, run
from kit.files import write_private
from kit.settings import PROJECT_ROOT
from tests.support.core_process import TOKENS, free_port, serves
from tests.support.processes import until

pytestmark = pytest.mark.slow


class Source:
    """The archiver's commands, without an installed entry point."""

    name = "archiver"

    def load(self) -> Any:
        """Return the commands."""
        return commands


class Archiver:
    """One running `python -m archiver`."""

    def __init__(self, data_dir: Path) -> None:
        port = free_port()
        self.data_dir = data_dir
        self.target = f"127.0.0.1:{port}"
        (data_dir / "dev").mkdir()
        write_private(data_dir / "dev" / "credentials.json", json.dumps(TOKENS).encode())
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {
            "ONEAPI_DATA_DIR": str(data_dir),
            "ONEAPI_ARCHIVER_PORT": str(port),
            "ONEAPI_CORE_TARGET": f"127.0.0.1:{free_port()}",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archiver"],
            cwd=PROJECT_ROOT,
            env={**inherited, **ours},
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def archiver(tmp_path: Path) -> Iterator[Archiver]:
    """An archiver that serves, and is gone afterwards."""
    archiver = Archiver(tmp_path)
    until(lambda: serves(archiver.target) or archiver.process.poll() is not None)
    yield archiver
    archiver.process.kill()
    archiver.process.wait(20)


def test_status_says_that_it_serves(
    archiver: Archiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 while it does, 5 when nobody is there."""
    monkeypatch.setenv("ONEAPI_ARCHIVER_TARGET", archiver.target)
    monkeypatch.setenv("ONEAPI_DATA_DIR", str(archiver.data_dir))
    assert run(Commands([Source()]), ["archive", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"target": archiver.target, "serving": True, "months": None}
    archiver.process.kill()
    archiver.process.wait(20)
    assert run(Commands([Source()]), ["archive", "status", "--json"]) == 5


def test_it_tells_by_reflection_what_it_serves(archiver: Archiver) -> None:
    """Health, and its own service."""
    with grpc.insecure_channel(archiver.target) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=5)
    names = {service.name for service in answer.list_services_response.service}
    assert {"grpc.health.v1.Health", "oneapi.archive.v1.ArchiveService"} <= names


def test_it_stops_when_told(archiver: Archiver) -> None:
    """With exit code 0."""
    archiver.process.send_signal(signal.SIGTERM)
    assert archiver.process.wait(20) == 0

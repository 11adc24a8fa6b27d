"""Core as a process of a test, with a data directory, tokens and a database of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.up import sockets
from kit.files import write_private
from kit.settings import PROJECT_ROOT
from tests.support.processes import until

TOKENS = {name: name[0] * 43 for name in ("edge", "operator", "finance", "core", "archiver")}


class CoreProcess:
    """One running `python -m core`."""

    arguments: tuple[str, ...] = ("-m", "core")

    def __init__(self, data_dir: Path, database_url: str, **settings: str) -> None:
        self.data_dir = data_dir
        self.target = f"127.0.0.1:{free_port()}"
        (data_dir / "dev").mkdir(parents=True, exist_ok=True)
        write_private(data_dir / "dev" / "credentials.json", json.dumps(TOKENS).encode())
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {"DATA_DIR": str(data_dir), "CORE_PORT": self.target.split(":")[1], **settings}
        self.log = data_dir / "core.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=PROJECT_ROOT,
                env={
                    **inherited,
                    **{f"ONEAPI_{name}": value for name, value in ours.items()},
                    "DATABASE_URL": database_url,
                    "ACME_API_KEY": "acme-credential",
                },
                stdout=log,
                stderr=log,
            )

    def until_serving(self) -> CoreProcess:
        """Wait for health; fail at once if the process has ended."""
        until(lambda: serves(self.target) or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    @property
    def example(self) -> dict[str, str]:
        """What it wrote about the example workspace."""
        found: dict[str, str] = json.loads((self.data_dir / "dev" / "example.json").read_text())
        return found


def serves(target: str) -> bool:
    """Ask a process its health, once it listens: a channel costs more than a refusal."""
    host, _, port = target.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def free_port() -> int:
    """A port that nobody has now, and that nobody is given who asks the kernel for any."""
    return sockets.check_free(0, "a free port")


@contextmanager
def running(data_dir: Path, database_url: str, **settings: str) -> Iterator[CoreProcess]:
    """A core that serves, and is gone afterwards."""
    core = CoreProcess(data_dir, database_url, **settings)
    try:
        yield core.until_serving()
    finally:
        core.process.kill()
        core.process.wait(20)

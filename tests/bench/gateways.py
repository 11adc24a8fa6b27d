"""What is measured: nothing in between, nginx, and our edge with everything on."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GATEWAY_CORE: Final = 0
OTHER_CORE: Final = 1
START_SECONDS: Final = 60.0
BENCH_KEY: Final = "bench"
# Of /proc/<pid>/stat, counted behind the name (proc(5)).
_USER_TICKS: Final = 11
_SYSTEM_TICKS: Final = 12

_NGINX: Final = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location / {{
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Gateway:
    """Where the load goes."""

    name: str
    port: int
    api_key: str
    pid: int | None = None
    """Its process that does the work, where there is one."""

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used so far, all its threads together."""
        if self.pid is None:
            return math.nan
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@contextlib.contextmanager
def child(*command: str, core: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Gateway]:
    """Run nginx as a reverse proxy on the gateway's core."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with child(program, "-p", str(folder), "-c", str(config), core=GATEWAY_CORE) as master:
        yield Gateway("nginx", port, BENCH_KEY, _only_child(master.pid))


def _only_child(pid: int) -> int:
    """Return the process that a process has started."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
    return int(found[0])


@contextlib.contextmanager
def ours(folder: Path, upstream: int) -> Iterator[Gateway]:
    """Run everything of ours; the edge alone on the gateway's core."""
    ports = {name: str(free_port()) for name in ("EDGE", "CORE", "ARCHIVER")}
    variables = {f"ONEAPI_{name}_PORT": port for name, port in ports.items()}
    variables |= {"ONEAPI_DATA_DIR": str(folder / "var"), "BENCH_API_KEY": BENCH_KEY}
    program = str(Path(sys.executable).parent / "1api")
    with child(program, "up", core=OTHER_CORE, **variables):
        ready = _await_ready(folder / "var" / "ready.json")
        _import_catalogue(program, folder, upstream, ready["core_target"], variables)
        edge = subprocess.run(
            ["pgrep", "-f", "-n", f"{sys.executable} -m edge --slot"],
            check=True,
            capture_output=True,
        )
        pid = int(edge.stdout)
        pin(pid, GATEWAY_CORE)
        yield Gateway("1API Club", int(ports["EDGE"]), ready["api_key"], pid)


def _await_ready(path: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
    ready: dict[str, str] = json.loads(path.read_bytes())
    return ready


def _import_catalogue(
    program: str, folder: Path, upstream: int, target: str, variables: dict[str, str]
) -> None:
    document = {
        "format": 1,
        "upstreams": [
            {
                "name": "bench",
                "base_url": f"http://127.0.0.1:{upstream}/v1",
                "dialect": "openai",
                "stream_end": "terminal",
            }
        ],
        "models": [
            {
                "public_id": "bench-model",
                "display_name": "Bench",
                "maker": "bench",
                "context_tokens": 131_072,
                "max_output_tokens": 4_096,
                "routes": [
                    {
                        "lanes": ["default"],
                        "candidates": [
                            {
                                "upstream": "bench",
                                "upstream_model": "bench",
                                "first_byte_timeout_ms": 30_000,
                                "idle_timeout_ms": 30_000,
                            }
                        ],
                    }
                ],
                # Cheap, so that the example workspace's credit outlasts the measurement.
                "prices": [{"tiers": [{"input": 1_000, "output": 4_000}]}],
            }
        ],
    }
    file = folder / "catalogue.json"
    file.write_text(json.dumps(document))
    subprocess.run(
        [program, "catalog", "import", str(file), "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **variables, "ONEAPI_CORE_TARGET": target},
    )
    time.sleep(1.0)  # the edge hears of it within that

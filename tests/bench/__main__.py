"""`python -m tests.bench [--write FILE]`: requests and chunks per second, as ratios of one run."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.gateways import OTHER_CORE, Gateway, child, free_port, nginx, ours
from tests.bench.upstream import CHUNKS

NEEDED: Final = ("nginx", "wrk", "taskset")
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_COUNT = re.compile(r"(\d+) requests in")
_BAD = re.compile(r"Non-2xx or 3xx responses: ([0-9]+)")
_BODY: Final = '{"model":"bench-model",%s"messages":[{"role":"user","content":"hello"}]}'
_LUA: Final = """
wrk.method = "POST"
wrk.body = '%s'
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
"""


class Rate(NamedTuple):
    """Requests a second, and the gateway's processor time for each in microseconds."""

    per_second: float
    cpu_micros: float


Rates = dict[str, dict[bool, list[Rate]]]
"""By gateway, and by whether the answers are streams."""


def measure(
    gateway: Gateway, folder: Path, *, stream: bool, connections: int, seconds: int
) -> Rate:
    """Return what a gateway serves in a second, and at what cost; all of it with success."""
    script = folder / f"{gateway.port}-{stream}.lua"
    script.write_text(_LUA % (_BODY % ('"stream":true,' if stream else ""), gateway.api_key))
    command = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{connections}"]
    command += [f"-d{seconds}s", "-s", str(script)]
    url = f"http://127.0.0.1:{gateway.port}/v1/chat/completions"
    before = gateway.cpu_seconds()
    done = subprocess.run([*command, url], check=True, capture_output=True, text=True)
    used = gateway.cpu_seconds() - before
    bad = _BAD.search(done.stdout)
    if bad is not None:
        sys.exit(f"{gateway.name}: {bad.group(1)} requests failed")
    found, whole = _RATE.search(done.stdout), _COUNT.search(done.stdout)
    if found is None or whole is None or int(whole.group(1)) == 0:
        sys.exit(f"{gateway.name}: nothing was measured")
    return Rate(float(found.group(1)), used * 1e6 / int(whole.group(1)))


def run(options: argparse.Namespace) -> Rates:
    """Measure every gateway in turn, several times over, so that a slow moment hits all."""
    found: Rates = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        module = (sys.executable, "-m", "tests.bench.upstream", str(port))
        stack.enter_context(child(*module, core=OTHER_CORE))
        gateways = [
            Gateway("direct", port, "bench"),
            stack.enter_context(nginx(folder, port)),
            stack.enter_context(ours(folder, port)),
        ]
        for _ in range(options.rounds):
            for stream in (False, True):
                for gateway in gateways:
                    rate = measure(
                        gateway,
                        folder,
                        stream=stream,
                        connections=options.connections,
                        seconds=options.seconds,
                    )
                    found.setdefault(gateway.name, {}).setdefault(stream, []).append(rate)
    return found


def table(found: Rates) -> str:
    """Return the medians as a table, with ratios to nginx round by round."""
    columns = [
        *("one core", "req/s", "of nginx", "CPU/request"),
        *(f"chunks/s ({CHUNKS} a stream)", "of nginx", "CPU/stream"),
    ]
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for name, rates in found.items():
        cells = [
            *_cells(rates[False], found["nginx"][False], 1),
            *_cells(rates[True], found["nginx"][True], CHUNKS),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(rates: list[Rate], nginx: list[Rate], factor: int) -> list[str]:
    pairs = zip(rates, nginx, strict=True)
    ratio = statistics.median(ours.per_second / theirs.per_second for ours, theirs in pairs)
    cpu = statistics.median(rate.cpu_micros for rate in rates)
    return [
        f"{statistics.median(rate.per_second for rate in rates) * factor:,.0f}",
        f"{ratio:.3f}",
        "" if math.isnan(cpu) else f"{cpu:.0f} µs",
    ]


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--write", type=Path, help="Write the table to this file as well.")
    options = parser.parse_args()
    missing = [
        name for name in NEEDED if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    if missing:
        sys.exit(f"not measured: install {', '.join(missing)} (Debian: nginx-light wrk util-linux)")
    result = table(run(options))
    stamp = datetime.now(tz=UTC).strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}"
    told = f"{stamp}, {machine}, {options.connections} connections, {options.rounds} rounds"
    sys.stdout.write(f"{told}\n\n{result}\n")
    if options.write is not None:
        options.write.write_text(f"# {told}\n\n{result}\n")


if __name__ == "__main__":
    main()

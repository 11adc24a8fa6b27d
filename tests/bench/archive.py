"""`python -m tests.bench.archive`: a month's whole export against a bare COPY of its rows.

The export is what `1api archive run` does from a frozen month to its publication, by a real core
and a real archiver into a local folder: Arrow, Parquet, cost files, everything read back and
compared with core's own counting, manifests signed and stored, the month published. COPY is `psql`
writing `COPY (SELECT … ORDER BY workspace_id, id) TO STDOUT` of the same columns to /dev/null. Both
take turns, a month each, in one run on the same server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from archiver.calendar import eligible_at, format_month
from core.metering.partitions import partition_name
from core.partitions.columns import SELECTED
from kit.rpc.client import sync_channel
from kit.settings import PROJECT_ROOT
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.archive.v1.archive_service_pb2_grpc import ArchiveServiceStub
from tests.bench.archive_months import FIRST, Made, make_months
from tests.support.core_process import TOKENS, CoreProcess, free_port, running, serves
from tests.support.postgres import chosen_bin_dir, running_server
from tests.support.processes import until

GOAL: Final = 0.35
MEMORY_GOAL_MB: Final = 300
AS_INSTALLED: Final = ("-m", "tests.bench.as_installed")
_MB: Final = 1_000_000
_RUN_SECONDS: Final = 3_600.0
_NO_MONTH: Final = date(2000, 1, 1)
_COPY: Final = f"COPY (SELECT {SELECTED} FROM {{}} ORDER BY workspace_id, id) TO STDOUT"


class InstalledCore(CoreProcess):
    """Core without what only developers have."""

    arguments = (*AS_INSTALLED, "core")


class Round(NamedTuple):
    """Seconds of one month both ways, and what its usage files weigh."""

    copy_seconds: float
    freeze_seconds: float
    export_seconds: float
    usage_bytes: int


class Installation:
    """A core and an archiver whose clock stands where a month is just due."""

    def __init__(self, folder: Path, clock: Path, core: CoreProcess) -> None:
        self._clock = clock
        self.core = core
        self.store = folder / "archive"
        self.target = f"127.0.0.1:{free_port()}"
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {
            "DATA_DIR": str(folder),
            "ARCHIVER_PORT": self.target.split(":")[1],
            "CORE_TARGET": core.target,
            "TEST_CLOCK": str(clock),
        }
        with (folder / "archiver.log").open("ab") as log:
            self.archiver = subprocess.Popen(
                [sys.executable, *AS_INSTALLED, "archiver"],
                cwd=PROJECT_ROOT,
                env=inherited | {f"ONEAPI_{name}": value for name, value in ours.items()},
                stdout=log,
                stderr=log,
            )

    def until_idle(self) -> None:
        """Wait until the archiver has done by itself what was due when it started."""
        for _ in self._run(format_month(_NO_MONTH)):
            pass

    def archive(self, month: date) -> tuple[float, float]:
        """Archive a month that becomes due now; return the seconds of its freeze and of the rest.

        What is frozen is vacuumed, and may have been before. The rest ends with the publication.
        """
        set_clock(self._clock, eligible_at(month) + timedelta(hours=1))
        at: dict[str, float] = {}
        # Older months without anything go with the first one that has something.
        for step in self._run(""):
            if step.month == format_month(month) and (step.step != "publish" or step.done):
                at.setdefault(step.step, time.perf_counter())
        if not at.keys() >= {"freeze", "export", "publish"}:
            sys.exit(f"{format_month(month)} was not archived")
        return at["export"] - at["freeze"], at["publish"] - at["export"]

    def _run(self, month: str) -> Iterator[pb.RunArchiveResponse]:
        with sync_channel(self.target, TOKENS["operator"]) as channel:
            stub: Any = ArchiveServiceStub(channel)
            request = pb.RunArchiveRequest(month=month)
            yield from stub.RunArchive(request, timeout=_RUN_SECONDS, wait_for_ready=True)

    def usage_bytes(self, month: date) -> int:
        """Return how many bytes a month's usage files have."""
        found = self.store.glob(f"usage/v1/*/month={format_month(month)}/*.parquet")
        return sum(file.stat().st_size for file in found)

    def peaks_mb(self) -> dict[str, float]:
        """Return the largest resident memory that each process has had."""
        return {
            "core": _peak_mb(self.core.process.pid),
            "archiver": _peak_mb(self.archiver.pid),
        }


def set_clock(path: Path, moment: datetime) -> None:
    """Move the processes' clock to a moment."""
    behind = path.with_suffix(".new")
    behind.write_text(str((moment - datetime.now(tz=UTC)).total_seconds()))
    behind.replace(path)
    time.sleep(0.2)  # it is read anew within that


def copy_seconds(superuser_dsn: str, month: date) -> float:
    """Return how long a bare COPY of a month takes."""
    # The partition by its name: it is read like this before and after it was archived.
    statement = _COPY.format(partition_name(month))
    psql = [str(chosen_bin_dir() / "psql"), "--no-psqlrc", "--dbname", superuser_dsn]
    began = time.perf_counter()
    subprocess.run([*psql, "--command", statement], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@contextlib.contextmanager
def installation(folder: Path, clock: Path, dsn: str) -> Iterator[Installation]:
    """Run core and the archiver until the block ends."""
    core = InstalledCore(folder, dsn, TEST_CLOCK=str(clock)).until_serving()
    archiver: subprocess.Popen[bytes] | None = None
    try:
        found = Installation(folder, clock, core)
        archiver = found.archiver
        until(lambda: serves(found.target) or archiver.poll() is not None, 60)
        if archiver.poll() is not None:
            sys.exit(f"the archiver did not start: {(folder / 'archiver.log').read_text()}")
        yield found
    finally:
        for process in filter(None, (archiver, core.process)):
            process.terminate()
            process.wait(30)


def run(
    folder: Path, *, rows: int, workspaces: int, rounds: int
) -> tuple[Made, list[Round], dict[str, float]]:
    """Measure so many months after a small one that warms up."""
    clock = folder / "clock"
    with running_server() as server:
        superuser_dsn = server.superuser_url_of(server.dsn)
        _commit_as_in_earnest(superuser_dsn)
        set_clock(clock, eligible_at(FIRST) - timedelta(days=30))
        with running(folder, server.dsn, TEST_CLOCK=str(clock)):
            pass  # It makes the catalogue.
        made = asyncio.run(
            make_months(
                server.dsn,
                superuser_dsn,
                folder,
                rows=rows,
                workspaces=workspaces,
                months=rounds,
            )
        )
        sys.stdout.write(f"{made.rows} rows made for each of {rounds} months\n")
        sys.stdout.flush()
        with installation(folder, clock, server.dsn) as ours:
            ours.until_idle()
            ours.archive(made.first)
            found = [
                _round(ours, superuser_dsn, month, number)
                for number, month in enumerate(made.months)
            ]
            return made, found, ours.peaks_mb()


def _commit_as_in_earnest(superuser_dsn: str) -> None:
    # A server that writes commits later cannot vacuum what was committed just now.
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        statement = sql.SQL("ALTER DATABASE {} SET synchronous_commit = on")
        connection.execute(statement.format(sql.Identifier(connection.info.dbname)))


def _round(ours: Installation, superuser_dsn: str, month: date, number: int) -> Round:
    # Who comes first finds fewer pages in memory: the first changes each time.
    copied = copy_seconds(superuser_dsn, month) if number % 2 else 0.0
    frozen, exported = ours.archive(month)
    copied = copied or copy_seconds(superuser_dsn, month)
    return Round(copied, frozen, exported, ours.usage_bytes(month))


def _peak_mb(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / _MB


def table(made: Made, found: Sequence[Round], peaks: dict[str, float], workspaces: int) -> str:
    """Return the figures of all rounds."""
    lines = [
        f"{made.rows:,} rows of {workspaces} workspaces, one of which has half, in each month",
        "",
        "| month | COPY | rows/s | freeze | export, verified | rows/s | ratio | bytes/row |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, each in enumerate(found, start=1):
        cells = [
            f"{each.copy_seconds:.1f} s",
            f"{made.rows / each.copy_seconds:,.0f}",
            f"{each.freeze_seconds:.1f} s",
            f"{each.export_seconds:.1f} s",
            f"{made.rows / each.export_seconds:,.0f}",
            f"{each.copy_seconds / each.export_seconds:.2f}",
            f"{each.usage_bytes / made.rows:.1f}",
        ]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    median = statistics.median(each.copy_seconds / each.export_seconds for each in found)
    lines.append(f"\nMedian ratio {median:.2f}; the goal is {GOAL} or more.")
    told = ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items())
    lines.append(f"Peak memory: {told}; the goal is below {MEMORY_GOAL_MB} MB each.")
    return "\n".join(lines)


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.archive")
    parser.add_argument("--rows", type=int, default=300_000, help="Of each month.")
    parser.add_argument("--workspaces", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="Write the table to this file as well.")
    options = parser.parse_args()
    sizes = {"rows": options.rows, "workspaces": options.workspaces, "rounds": options.rounds}
    with tempfile.TemporaryDirectory(prefix="oneapi-bench-") as folder:
        made, found, peaks = run(Path(folder), **sizes)
    stamp = datetime.now(tz=UTC).strftime("%Y-%m-%d")
    load = os.getloadavg()[0]
    head = f"{stamp}, {os.cpu_count()} CPUs, Python {platform.python_version()}, load {load:.1f}"
    text = f"{head}\n\n{table(made, found, peaks, options.workspaces)}\n"
    sys.stdout.write(text)
    if options.write is not None:
        options.write.write_text(f"# A month into the archive\n\n{text}")


if __name__ == "__main__":
    main()

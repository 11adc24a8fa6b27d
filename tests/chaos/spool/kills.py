"""SIGKILL at every write, sync, allocation and deletion of the spool, one run for each.

A worker serves a script of requests through the real spool and shipper to a real core; strace
kills it when it is about to make its n-th call of a kind on the spool's files. Another process
adopts what is left. Then an adopter is killed in the same way, and a second one goes on. Nothing
accepted may be missing at core, nothing be there twice, and each request without an outcome is an
edge crash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.metering.frames import Kind
from edge.metering.segment import segment_name
from edge.metering.slot import slots_with_spools
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.chaos.spool import victims
from tests.chaos.spool.real_core import RealCore
from tests.chaos.spool.report import Row
from tests.chaos.spool.strace import HOW_TO_GET, Strace, available
from tests.support.recordings import PROJECT
from tests.unit.edge.metering.samples import frames_in

CALLS = (
    "pwrite64",
    "fdatasync",
    "fsync",
    "openat",
    "fallocate",
    "mkdir",
    "unlink",
    "rmdir",
    "write",
)
TRACED_SECONDS_MAX = 60.0
SEGMENTS = 16
"""More than the script fills."""


@dataclass
class Heard:
    """What a worker had said before it was killed."""

    data_dir: Path
    epoch: int
    intended: set[bytes] = field(default_factory=set)
    accepted: set[bytes] = field(default_factory=set)
    finished: set[bytes] = field(default_factory=set)
    ended: bool = False
    open: set[bytes] = field(default_factory=set)
    """Requests whose intent is in the files without an outcome, before anybody adopted them."""

    @property
    def folder(self) -> Path:
        """Return the folder of the epoch's spool."""
        return self.data_dir / "spool" / "edge-1" / str(self.epoch)

    def hear(self, kind: str, word: str) -> None:
        """Take a line."""
        sets = {"I": self.intended, "B": self.accepted, "F": self.finished}
        if kind in sets:
            sets[kind].add(bytes.fromhex(word))
        self.ended = self.ended or kind == "D"

    def look(self) -> None:
        """Read from the files what the worker left open."""
        frames = frames_in(self.folder) if self.folder.exists() else []
        found: dict[Kind, set[bytes]] = {kind: set() for kind in Kind}
        for frame in frames:
            found[frame.kind].add(getattr(frame.body, "request_id", b""))
        self.open = found[Kind.INTENT] - found[Kind.OUTCOME]


class Victims:
    """The program that forks them, and the core that they report to."""

    def __init__(self, process: subprocess.Popen[str], core: RealCore, folder: Path) -> None:
        self._process = process
        self._core = core
        self._facts = core.facts()
        self._folder = folder
        self._made = 0
        self.heard: list[Heard] = []

    def serve(self, inject: str = "", *, role: str = "serve", output: Path | None = None) -> Heard:
        """Run a worker in a data directory of its own, killed as `inject` says."""
        self._made += 1
        data_dir = self._folder / f"{self._made}"
        data_dir.mkdir()
        heard = Heard(data_dir, self._core.open_epoch())
        self.heard.append(heard)
        order = {"role": role, "data_dir": str(data_dir), "epoch": heard.epoch}
        self._run(order, heard, self._paths(heard), inject, output)
        heard.look()
        return heard

    def adopt(self, heard: list[Heard], inject: str = "", output: Path | None = None) -> bool:
        """Adopt what workers left; return whether it came to its end."""
        before = Heard(heard[0].data_dir, 0)
        order = {"role": "adopt", "folders": [str(one.data_dir) for one in heard]}
        self._run(order, before, self._paths(heard[0]), inject, output)
        return before.ended

    @staticmethod
    def _paths(heard: Heard) -> list[Path]:
        slots = [heard.folder.parent, heard.folder.parent.with_name("edge-2")]
        names = [segment_name(number * victims.LIMITS.segment_frames) for number in range(SEGMENTS)]
        return [
            heard.folder,
            *(heard.folder / name for name in names),
            *(path for slot in slots for path in (slot, slot / "lock", slot / "quarantine")),
            slots[0].parent,
            heard.data_dir,
        ]

    def _run(
        self, order: dict[str, Any], heard: Heard, paths: list[Path], inject: str, out: Path | None
    ) -> None:
        self._say(json.dumps({**self._facts, **order}))
        kind, word = self._hear()
        assert kind == "P"
        if not inject and out is None:
            self._finish(heard)
            return
        output = out or Path(os.devnull)
        with Strace(int(word), calls=CALLS, paths=paths, inject=inject, output=output) as tracer:
            # A death that strace misses would let everybody wait for ever.
            timer = threading.Timer(TRACED_SECONDS_MAX, tracer.let_go)
            timer.start()
            try:
                self._finish(heard)
            finally:
                timer.cancel()

    def _finish(self, heard: Heard) -> None:
        self._say("go")
        while (line := self._hear())[0] != "E":
            heard.hear(*line)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> tuple[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the victims' program has ended"
        kind, _, word = line.strip().partition(" ")
        return kind, word


@contextmanager
def victims_of(core: RealCore, folder: Path) -> Iterator[Victims]:
    """Run the program that forks victims; it ends with this block."""
    paths = [str(PROJECT), str(PROJECT / "generated" / "python" / "src")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.spool.victims"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        yield Victims(process, core, folder)
    finally:
        process.kill()
        process.communicate()


def points(counts: Counter[str], only: int | None) -> Iterator[tuple[str, int]]:
    """Return every call to be killed at: one beyond the last of a kind too; or a few of each."""
    for call, count in sorted(counts.items()):
        numbers = range(1, count + 2)
        step = 1 if only is None else max(1, count // only)
        for number in list(numbers)[step // 2 :: step][:only]:
            yield call, number


def attack(core: RealCore, folder: Path, *, only: int | None = None) -> list[Row]:
    """Kill at every call, or at `only` so many of each kind; return the rows of the table."""
    rows = [
        Row("SIGKILL of a worker"),
        Row("SIGKILL of an adopter"),
        Row("the books after all kills"),
    ]
    if not available():
        for row in rows:
            row.left_out = HOW_TO_GET
        return rows
    with victims_of(core, folder) as some:
        kill_workers(some, rows[0], folder, only)
        left = [one for one in some.heard if one.folder.exists()]
        adopted = some.adopt(left)
        rows[0].require(holds=adopted, otherwise="an adoption that did not end")
        kill_adopters(some, rows[1], folder, only)
        rows[2].note(wrong_at_core(core, some.heard, rows[2]))
    return rows


def kill_workers(some: Victims, row: Row, folder: Path, only: int | None) -> None:
    """Count the calls of a worker that lives, then kill one at each of them."""
    output = folder / "calls-of-a-worker"
    whole = some.serve(output=output)
    row.require(holds=whole.ended and not whole.folder.exists(), otherwise="a worker did not end")
    counts = _counts(output)
    killed: Counter[str] = Counter()
    for call, number in points(counts, only):
        heard = some.serve(f"{call}:signal=SIGKILL:when={number}")
        killed[call] += not heard.ended
        row.note([])
    row.figures.update(killed)


def kill_adopters(some: Victims, row: Row, folder: Path, only: int | None) -> None:
    """Leave spools as a killed worker does; kill an adopter at each of its calls, then go on."""
    output = folder / "calls-of-an-adopter"
    first = some.serve(role="leave")
    row.require(holds=some.adopt([first], output=output), otherwise="an adopter did not end")
    killed: Counter[str] = Counter()
    left = []
    for call, number in points(_counts(output), only):
        heard = some.serve(role="leave")
        killed[call] += not some.adopt([heard], f"{call}:signal=SIGKILL:when={number}")
        left.append(heard)
        row.note([])
    row.require(holds=some.adopt(left), otherwise="a second adopter did not end")
    row.figures.update(killed)


def wrong_at_core(core: RealCore, every: list[Heard], row: Row) -> list[str]:
    """Compare what core has with what was said: by request, by epoch, and in the books."""
    found = {
        identifier.bytes: (epoch, outcome, charge)
        for identifier, epoch, outcome, charge in core.rows(
            "SELECT id, epoch, outcome, charge_nanos FROM usage_record WHERE edge_id = 1"
        )
    }
    wrong = core.wrong_books()
    for heard in every:
        mine = {key: value for key, value in found.items() if value[0] == heard.epoch}
        wrong += _wrong_of(heard, mine)
    wrong += _wrong_epochs(core, every)
    crashed = sum(outcome == usage.OUTCOME_EDGE_CRASH for _, outcome, _ in found.values())
    row.figures["accepted"] = sum(len(heard.accepted) for heard in every)
    row.figures["finished"] = sum(len(heard.finished) for heard in every)
    row.figures["records"] = len(found)
    row.figures["of these crashes"] = crashed
    return wrong


def _wrong_of(heard: Heard, mine: dict[bytes, tuple[int, int, int]]) -> list[str]:
    wrong = []
    crashed = {key for key, (_, how, _) in mine.items() if how == usage.OUTCOME_EDGE_CRASH}
    if not mine.keys() <= heard.intended:
        wrong.append("a record that nobody asked for")
    if not heard.accepted <= mine.keys():
        wrong.append("an accepted request without a record")
    if crashed & heard.finished:
        wrong.append("a finished request recorded as a crash")
    if crashed != heard.open:
        wrong.append("an intent without an outcome that is no crash")
    whole = {charge for key, (_, _, charge) in mine.items() if key not in crashed}
    if len(whole) > 1:
        wrong.append("a charge with another figure")
    return wrong


def _wrong_epochs(core: RealCore, every: list[Heard]) -> list[str]:
    wrong = [f"an alarm {kind}" for kind in core.alarms()]
    epochs = dict(
        core.rows("SELECT epoch, closed_at IS NOT NULL AND missing_frames = 0 FROM edge_epoch")
    )
    for heard in every:
        # A worker killed before it had made its folder has nothing to be adopted.
        if not epochs[heard.epoch] and heard.accepted:
            wrong.append("an epoch that was not closed, or with frames missing")
        if slots_with_spools(heard.data_dir):
            wrong.append("a spool that nobody adopted")
    return wrong


def _counts(output: Path) -> Counter[str]:
    by_thread: Counter[tuple[str, str]] = Counter()
    for line in output.read_text(errors="replace").splitlines():
        thread, _, rest = line.strip().partition(" ")
        name = rest.strip().partition("(")[0]
        if name in CALLS:
            by_thread[thread, name] += 1
    most: Counter[str] = Counter()
    for (_, name), count in by_thread.items():
        # strace counts the calls of each thread by itself.
        most[name] = max(most[name], count)
    return most

"""kill -9 at any moment loses no accepted request and doubles no charge."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge.metering.adoption import Adopter
from edge.metering.counters import Counters
from edge.metering.frames import Kind
from edge.metering.recovery import scan
from edge.metering.segment import Segment, segment_paths
from edge.metering.slot import Slot, slots_with_spools
from kit.log import EventLog
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.integration.edge.metering.core_double import (
    RunningCore,
    admission_stub,
    metering_stub,
)
from tests.unit.edge.metering.samples import frames_in

ROUNDS = 20
APPENDER = Path(__file__).with_name("appender.py")
PROJECT = APPENDER.parents[4]


@dataclass
class Heard:
    """What a killed process had said."""

    accepted: set[bytes] = field(default_factory=set)
    finished: set[bytes] = field(default_factory=set)


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a process that forks one appender a line."""
    paths = [str(PROJECT), str(PROJECT / "generated" / "python" / "src")]
    process = subprocess.Popen(
        [sys.executable, str(APPENDER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    yield process
    process.kill()
    process.communicate()


def kill_after(process: subprocess.Popen[str], epoch: int, lines: int) -> Heard:
    """Run an appender under an epoch and kill it once it has said so many lines."""
    stdin: Any = process.stdin
    stdin.write(f"{epoch}\n")
    stdin.flush()
    heard, pid, said, ended = Heard(), 0, 0, False
    while not (ended and pid):
        kind, _, word = read_line(process).partition(" ")
        match kind:
            case "P":
                pid = int(word)
            case "B":
                heard.accepted.add(bytes.fromhex(word))
            case "F":
                heard.finished.add(bytes.fromhex(word))
            case _:
                ended = True
        said += 1
        if pid and said >= lines > 0:
            os.kill(pid, signal.SIGKILL)
            lines = 0
    return heard


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process that must not end by itself."""
    stdout: Any = process.stdout
    line: str = stdout.readline()
    assert line
    return line.strip()


async def test_twenty_kills_lose_nothing_and_double_nothing(
    appender: subprocess.Popen[str], tmp_path: Path, core: RunningCore, channel: grpc.aio.Channel
) -> None:
    """What was accepted is on file, what was finished is charged, the rest is a crash; once."""
    generator = random.Random(11)
    heard = Heard()
    for epoch in range(1, ROUNDS + 1):
        said = kill_after(appender, epoch, generator.randrange(5, 150))
        folder = tmp_path / "spool" / "edge-1" / str(epoch)
        check_files(folder, epoch, said)
        heard.accepted |= said.accepted
        heard.finished |= said.finished
    slot = Slot.acquire(tmp_path, preferred=2)
    adopter = Adopter(
        slot,
        tmp_path,
        metering_stub(channel),
        admission_stub(channel),
        counters=Counters(),
        log=EventLog("test", stream=io.StringIO()),
    )
    await adopter.adopt_all(live_epoch=1)
    slot.release()
    check_core(core, heard)
    assert slots_with_spools(tmp_path) == []
    assert [epoch for _, epoch, _ in core.double.closed] == list(range(1, ROUNDS + 1))


def check_files(folder: Path, epoch: int, said: Heard) -> None:
    """Everything that was said is in the files, without a gap."""
    frames = frames_in(folder)
    sequences = [frame.place.sequence for frame in frames]
    assert sequences == list(range(len(frames)))
    by_kind = {
        kind: {getattr(f.body, "request_id", b"") for f in frames if f.kind is kind}
        for kind in Kind
    }
    assert said.accepted <= by_kind[Kind.INTENT]
    assert said.finished <= by_kind[Kind.OUTCOME]
    segments = [Segment.open(path) for path in segment_paths(folder)]
    unfinished = scan(segments, 1, epoch).open
    for segment in segments:
        segment.close()
    assert set(unfinished) == by_kind[Kind.INTENT] - by_kind[Kind.OUTCOME]


def check_core(core: RunningCore, heard: Heard) -> None:
    """Core has each accepted request once; only those not finished may be crashes."""
    records = core.double.records
    assert (core.double.conflicts, core.double.gaps) == (0, [])
    assert heard.accepted <= set(records)
    crashed = {key for key, value in records.items() if value.outcome == usage.OUTCOME_EDGE_CRASH}
    assert crashed
    assert not crashed & heard.finished
    # Ten delivered tokens at two nano-dollars, as each checkpoint proves; else nothing.
    assert {records[key].charge_nanos for key in crashed} <= {20, 0}
    assert {records[key].charge_nanos for key in set(records) - crashed} == {44}

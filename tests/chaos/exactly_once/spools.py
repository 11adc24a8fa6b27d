"""What the spools of edges say at the moment of their death, read before anybody adopts them."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.metering.frames import EMPTY, FRAME_BYTES, Frame, decode
from edge.metering.records import Checkpoint, Intent, Outcome
from edge.metering.segment import segment_paths
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.support.processes import until

_LOCK: Final = re.compile(r"^\d+: FLOCK +\S+ +\S+ +(\d+) \S+:(\d+) ")
"""A line of /proc/locks: process and inode."""
_STOP_SECONDS_MAX: Final = 10.0


@dataclass
class Requests:
    """The requests of one spool."""

    intents: dict[bytes, Intent] = field(default_factory=dict)
    checkpoints: dict[bytes, Checkpoint] = field(default_factory=dict)
    outcomes: set[bytes] = field(default_factory=set)

    @property
    def open(self) -> set[bytes]:
        """Return the requests that were accepted and have no outcome of the edge that ran them."""
        return self.intents.keys() - self.outcomes


@dataclass
class Deaths:
    """All spools whose owner was killed, by their folder."""

    data_dir: Path
    spools: dict[Path, Requests] = field(default_factory=lambda: defaultdict(Requests))

    def read(self, pid: int) -> None:
        """Read the spools of the slots that a stopped process owns: its own, and any it adopts."""
        owned = _inodes_of(pid)
        for folder in epoch_folders(self.data_dir):
            if (folder.parent / "lock").stat().st_ino in owned:
                _read(folder, self.spools[folder])

    @property
    def intents(self) -> dict[bytes, Intent]:
        """Return every request that a killed edge had accepted and still had in its spool."""
        return {key: intent for one in self.spools.values() for key, intent in one.intents.items()}

    @property
    def open(self) -> set[bytes]:
        """Return the requests that died with their edge."""
        return {key for one in self.spools.values() for key in one.open}

    @property
    def checkpoints(self) -> dict[bytes, Checkpoint]:
        """Return the last checkpoint of each request that has one."""
        return {key: one for each in self.spools.values() for key, one in each.checkpoints.items()}


def until_stopped(pid: int) -> None:
    """Wait until SIGSTOP has reached every thread: from then on nothing more is written."""
    until(lambda: all(state in "TZX" for state in _states(pid)), _STOP_SECONDS_MAX)


def epoch_folders(data_dir: Path) -> list[Path]:
    """Return the spools that are there, whoever owns them."""
    return sorted(path for path in (data_dir / "spool").glob("edge-*/*") if path.name.isdecimal())


def until_adopted(data_dir: Path, live: int, patience_seconds: float) -> float:
    """Wait until only so many spools are left; return how long it took."""
    began = time.monotonic()
    until(lambda: len(epoch_folders(data_dir)) <= live, patience_seconds)
    return time.monotonic() - began


def _inodes_of(pid: int) -> set[int]:
    """Return the inodes of the files that a process has locked."""
    lines = Path("/proc/locks").read_text().splitlines()
    found = (_LOCK.match(line) for line in lines)
    return {int(one.group(2)) for one in found if one is not None and int(one.group(1)) == pid}


def _states(pid: int) -> list[str]:
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(stat.read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return states


def _read(folder: Path, found: Requests) -> None:
    for path in segment_paths(folder):
        content = path.read_bytes()
        for start in range(0, len(content) - FRAME_BYTES + 1, FRAME_BYTES):
            raw = content[start : start + FRAME_BYTES]
            frame = None if raw == EMPTY else decode(raw)
            if isinstance(frame, Frame):
                _note(found, frame.body)


def _note(found: Requests, body: object) -> None:
    if isinstance(body, Outcome):
        # An adopter's outcome does not close what its edge left open.
        if body.outcome != usage.OUTCOME_EDGE_CRASH:
            found.outcomes.add(body.request_id)
    elif isinstance(body, Intent):
        found.intents[body.request_id] = body
    elif isinstance(body, Checkpoint):
        found.checkpoints[body.request_id] = body

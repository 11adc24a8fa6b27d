"""Looks for one request in the spools and quarantines of this machine, without touching them.

Live spools are read while their owners write: a frame counts only if its checksum is right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.metering.frames import (
    FRAME_BYTES,
    ID_AT,
    Fault,
    Kind,
    checksum_fault,
    decode,
    kind_of,
    place_of,
)
from edge.metering.quarantine import Origin, read_quarantine
from edge.metering.segment import segment_paths
from kit.ids import format_id
from oneapi.common.v1.error_reason_pb2 import ErrorReason

_LOCKS: Final = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class SpoolFrame:
    """One frame of a request in a spool."""

    edge_id: int
    epoch: int
    sequence: int
    kind: str
    owned: bool
    """Whether a process owns the spool now."""
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class QuarantinedFrame:
    """A frame of a request that will never become a record, and who says so."""

    edge_id: int
    origin: str
    reason: str


def frames_of(data_dir: Path, request_id: bytes) -> list[SpoolFrame]:
    """Return the request's frames in all spools below a data directory, oldest first.

    Raises:
        OSError: a spool cannot be read.
    """
    owned = locked_files()
    found = []
    for slot in slot_folders(data_dir):
        is_owned = _inode(slot / "lock") in owned
        for folder in sorted(path for path in slot.iterdir() if path.name.isdecimal()):
            for raw in _frames_in(folder, request_id):
                place = place_of(raw)
                kind = kind_of(raw).name.lower()
                found.append(SpoolFrame(*place, kind, is_owned, _details(raw)))
    return found


def quarantined(data_dir: Path, request_id: bytes) -> list[QuarantinedFrame]:
    """Return the request's frames in the quarantines below a data directory.

    Raises:
        OSError: a quarantine cannot be read.
    """
    return [
        QuarantinedFrame(_edge_of(slot), *_verdict(entry.origin, entry.number))
        for slot in slot_folders(data_dir)
        if (slot / "quarantine").exists()
        for entry in read_quarantine(slot / "quarantine")
        if entry.frame[ID_AT : ID_AT + len(request_id)] == request_id
    ]


def _frames_in(folder: Path, request_id: bytes) -> Iterator[bytes]:
    try:
        paths = segment_paths(folder)
    except FileNotFoundError:
        return  # shipped whole since we looked
    for path in paths:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        at = content.find(request_id)
        while at >= 0:
            raw = content[at - ID_AT : at - ID_AT + FRAME_BYTES]
            is_place = at % FRAME_BYTES == ID_AT
            if is_place and checksum_fault(raw) is None and kind_of(raw) is not Kind.SEGMENT:
                yield raw
            at = content.find(request_id, at + 1)


def slot_folders(data_dir: Path) -> list[Path]:
    """Return the folders of all slots below a data directory, by number."""
    found = [path for path in (data_dir / "spool").glob("edge-*") if path.is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _edge_of(slot: Path) -> int:
    return int(slot.name.removeprefix("edge-"))


def _details(raw: bytes) -> dict[str, Any]:
    """Return what a frame says, ids in their outside form."""
    frame = decode(raw)
    if isinstance(frame, Fault):
        return {}
    values = asdict(frame.body)
    for name, prefix in (("request_id", "req"), ("workspace_id", "ws"), ("key_id", "key")):
        if name in values:
            values[name] = format_id(prefix, values[name])
    return values


def _verdict(origin: int, number: int) -> tuple[str, str]:
    if origin == Origin.CORE:
        known = ErrorReason.DESCRIPTOR.values_by_number.get(number)
        name = known.name.removeprefix("ERROR_REASON_").lower() if known else str(number)
        return "core", name
    faults = {fault.value: fault.name.lower() for fault in Fault}
    return "recovery", faults.get(number, str(number))


def locked_files() -> set[int]:
    """Return the inodes on which some process holds a lock; asking for one could disturb them."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return set()
    return {int(word.split(":")[2]) for line in lines for word in line.split() if _is_file(word)}


def _is_file(word: str) -> bool:
    parts = word.split(":")
    return len(parts) == 3 and parts[2].isdecimal()


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - pairs with /proc/locks
    except OSError:
        return -1

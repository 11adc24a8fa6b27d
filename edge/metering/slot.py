"""Numbered slots: the slot's number is the edge's id, and its folder holds the edge's spools.

A worker owns its slot by flock, which the kernel frees however the worker ends. Below
`<data dir>/spool/edge-<n>/` there is a folder for each epoch, the lock and the quarantine.
"""

from __future__ import annotations

import fcntl
import os
import re
from itertools import chain
from pathlib import Path
from typing import Final

from edge.metering.errors import SpoolInUse
from kit.files import private_folder, sync_folder

MAX_SLOTS: Final = 1_024
_SPOOL_FOLDER: Final = "spool"
_LOCK_FILE: Final = "lock"
_QUARANTINE_FILE: Final = "quarantine"
_PROBE_FILE: Final = "probe"
_PROBE_BYTES: Final = 4_096
_SLOT_NAME = re.compile(r"^edge-([1-9][0-9]{0,3})$", re.ASCII)


class Slot:
    """A slot that this process owns until it releases it or ends."""

    def __init__(self, edge_id: int, folder: Path, lock: int) -> None:
        """Keep a locked slot; `take` and `acquire` make one."""
        self.edge_id = edge_id
        self.folder = folder
        self._lock = lock

    @classmethod
    def acquire(cls, data_dir: Path, preferred: int | None = None) -> Slot:
        """Own the preferred slot or, if another process has it, the first free one.

        Raises:
            SpoolInUse: every slot is taken.
            OSError: the folders cannot be made.
        """
        numbers = range(1, MAX_SLOTS + 1)
        for edge_id in numbers if preferred is None else chain((preferred,), numbers):
            slot = cls.take(data_dir, edge_id)
            if slot is not None:
                return slot
        raise SpoolInUse

    @classmethod
    def take(cls, data_dir: Path, edge_id: int) -> Slot | None:
        """Own one slot; None if another process has it.

        Raises:
            OSError: its folder cannot be made.
        """
        root = spool_root(data_dir)
        folder = root / f"edge-{edge_id}"
        if not folder.exists():
            private_folder(folder)
            sync_folder(root)
            sync_folder(root.parent)
        private_folder(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(folder / _LOCK_FILE, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return cls(edge_id, folder, lock)

    @property
    def quarantine(self) -> Path:
        """Return the file for frames that never become records."""
        return self.folder / _QUARANTINE_FILE

    def epoch_folder(self, epoch: int) -> Path:
        """Return the folder of an epoch's spool."""
        return self.folder / str(epoch)

    def epochs(self) -> list[int]:
        """Return the epochs whose spool is still there, oldest first."""
        return _epochs_in(self.folder)

    def is_writable(self) -> bool:
        """Try the disk with a file of its own; may take as long as the disk takes."""
        probe = self.folder / _PROBE_FILE
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, bytes(_PROBE_BYTES))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                probe.unlink()
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let another process own the slot."""
        os.close(self._lock)


def spool_root(data_dir: Path) -> Path:
    """Return the folder of all slots, making it if it is not there.

    Raises:
        OSError: it cannot be made, or is not ours alone.
    """
    return private_folder(data_dir / _SPOOL_FOLDER)


def slots_with_spools(data_dir: Path) -> list[int]:
    """Return the numbers of the slots that hold a spool, whoever owns them."""
    found = (_SLOT_NAME.match(path.name) for path in (data_dir / _SPOOL_FOLDER).glob("edge-*"))
    numbers = sorted(int(match.group(1)) for match in found if match is not None)
    root = data_dir / _SPOOL_FOLDER
    return [number for number in numbers if _epochs_in(root / f"edge-{number}")]


def _epochs_in(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())

"""A private folder for drafts: of this process alone, and swept after one that was killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from kit.files import private_folder

_LOCK: Final = "lock"


class WorkFolder:
    """A folder below `<data dir>/archiver` that lives as long as its process."""

    def __init__(self, data_dir: Path) -> None:
        """Make it, and remove those whose processes are gone."""
        parent = private_folder(data_dir / "archiver")
        self.path = private_folder(parent / secrets.token_hex(8))
        self._lock = _locked(self.path)
        for other in parent.iterdir():
            if other != self.path:
                _sweep(other)

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _locked(folder: Path) -> int | None:
    """Return the lock of a folder, None if a process has it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sweep(folder: Path) -> None:
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)

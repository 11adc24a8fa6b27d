"""Drafts have a folder of their process alone; what a killed one left is swept."""

from __future__ import annotations

import os
from pathlib import Path

from archiver.work_folder import WorkFolder


def test_a_killed_process_leaves_nothing_and_a_running_one_keeps_its_own(tmp_path: Path) -> None:
    """Two of a rolling exchange run side by side."""
    killed = WorkFolder(tmp_path)
    (killed.path / "draft").write_bytes(b"half a file")
    assert killed._lock is not None
    os.close(killed._lock)  # as the system does when a process is gone
    running = WorkFolder(tmp_path)
    assert not killed.path.exists()
    assert running.path.stat().st_mode & 0o777 == 0o700
    another = WorkFolder(tmp_path)
    assert running.path.exists()
    another.close()
    running.close()
    assert list((tmp_path / "archiver").iterdir()) == []

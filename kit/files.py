"""Small private files and folders: whole or absent, and readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class FolderNotPrivate(PermissionError):
    """A folder that must be ours alone belongs to somebody else or lets others in."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that a crash leaves the old or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a rename is not, until its folder is synced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable that somebody else wrote."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path, *, owner: int | None = None) -> Path:
    """Make a 0700 folder (its parents too) or check that the one there is ours (or `owner`'s).

    Raises FolderNotPrivate for a link or another owner's folder: in a shared place such as /tmp
    somebody may have made it first.
    """
    expected = os.geteuid() if owner is None else owner
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        os.chown(path, expected, -1)
    except FileExistsError:
        _check_private(path, expected)
    return path


def _check_private(path: Path, owner: int) -> None:
    found = path.lstat()
    is_folder = not path.is_symlink() and path.is_dir()
    if not is_folder or found.st_uid != owner or found.st_mode & 0o077:
        raise FolderNotPrivate(path)

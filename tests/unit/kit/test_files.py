"""Private files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.files import FolderNotPrivate, private_folder, write_private


def test_a_private_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    """No other mode, no draft left."""
    path = tmp_path / "secret.json"
    for content in (b"first", b"second"):
        write_private(path, content)
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_folder_is_made_or_found_again(tmp_path: Path) -> None:
    """Asking twice returns the same folder of mode 0700."""
    folder = private_folder(tmp_path / "deep" / "folder")
    assert folder == private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_lets_others_in_is_refused(tmp_path: Path) -> None:
    """Somebody else may have made it in a shared place."""
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(FolderNotPrivate):
        private_folder(tmp_path / "open")


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """A link could lead into somebody else's folder."""
    private_folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FolderNotPrivate):
        private_folder(tmp_path / "link")

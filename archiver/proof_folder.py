"""A month's downloaded files in a folder, whatever they are called now."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from archiver.manifest import Manifest, ManifestNotValid, parse_manifest, read_manifest
from archiver.model import Part
from archiver.shelf import MANIFEST, public_names
from archiver.verify import verify_month
from kit.platform_keys import KEY_FILE, PublicKeys

READ_BYTES: Final = 1024 * 1024
FILES_MAX: Final = 1_000
"""Entries of a folder, with those of folders in it: more is not one month's."""
MISSING: Final = "missing"


class NoManifest(ValueError):
    """A folder has no manifest, or several."""


class FolderTooLarge(ValueError):
    """A folder has more in it than a month's files."""


def verify_folder(folder: Path, keys: PublicKeys, manifest: Path | None = None) -> Manifest:
    """Prove a month from the files of a folder.

    Raises:
        NoManifest: none is named, and the folder does not have exactly one.
        FolderTooLarge: what is not under its own name is not looked for among so many.
        ManifestNotValid: it is no manifest of this version.
        NotProved: something that it says is not so.
    """
    text = read_manifest(manifest or _manifest_in(folder))
    places = _places(parse_manifest(text), folder)
    return verify_month(text, keys, lambda name: places.get(name, folder / MISSING))


def sha256_of(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.digest()


def _manifest_in(folder: Path) -> Path:
    """Return the manifest of a folder: by its name, else the only one that reads like one.

    Browsers call it `manifest-2026-08.json`, and the published keys may lie beside it.
    """
    files = [path for path in _files(folder) if path.suffix == ".json" and path.name != KEY_FILE]
    found = [path for path in files if path.name == MANIFEST] or files
    if len(found) > 1:
        found = [path for path in found if _is_manifest(path)]
    if len(found) != 1:
        raise NoManifest
    return found[0]


def _is_manifest(path: Path) -> bool:
    try:
        parse_manifest(read_manifest(path))
    except (ManifestNotValid, OSError):
        return False
    return True


def _places(manifest: Manifest, folder: Path) -> dict[str, Path]:
    """Return where the files of a manifest are: by the names of a download, else by their bytes."""
    places: dict[str, Path] = {}
    for public, stored in public_names((part.kind, part.name) for part in manifest.parts):
        for name in (public, stored, stored.rsplit("/", 1)[-1]):
            if (folder / name).is_file():
                places[stored] = folder / name
                break
    missing = [part for part in manifest.parts if part.name not in places]
    return places | _found_by_bytes(missing, folder)


def _found_by_bytes(missing: list[Part], folder: Path) -> dict[str, Path]:
    """Return where files are that have other names now; only those of a right size are read."""
    if not missing:
        return {}
    sizes = {part.size_bytes for part in missing}
    names = {part.sha256: part.name for part in missing}
    places: dict[str, Path] = {}
    for path in _files(folder):
        # What cannot be read is not here.
        with suppress(OSError):
            if path.stat().st_size in sizes and (name := names.get(sha256_of(path))):
                places[name] = path
    return places


def _files(folder: Path) -> list[Path]:
    entries = list(islice(folder.rglob("*"), FILES_MAX + 1))
    if len(entries) > FILES_MAX:
        raise FolderTooLarge
    return sorted(path for path in entries if path.is_file())

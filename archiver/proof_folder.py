"""A month's downloaded files in a folder, whatever they are called now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from archiver.manifest import Manifest, parse_manifest
from archiver.shelf import MANIFEST, public_names
from archiver.verify import verify_month
from kit.platform_keys import PublicKeys

READ_BYTES: Final = 1024 * 1024
FILES_MAX: Final = 1_000
MISSING: Final = "missing"


class NoManifest(ValueError):
    """A folder has no manifest, or several."""


def verify_folder(folder: Path, keys: PublicKeys, manifest: Path | None = None) -> Manifest:
    """Prove a month from the files of a folder.

    Raises:
        NoManifest: none is named, and the folder does not have exactly one.
        ManifestNotValid: it is no manifest of this version.
        NotProved: something that it says is not so.
    """
    text = (manifest or _manifest_in(folder)).read_bytes()
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
    found = [path for path in _files(folder) if path.name == MANIFEST]
    found = found or [path for path in _files(folder) if path.suffix == ".json"]
    if len(found) != 1:
        raise NoManifest
    return found[0]


def _places(manifest: Manifest, folder: Path) -> dict[str, Path]:
    """Return where the files of a manifest are: by the names of a download, else by their bytes."""
    places: dict[str, Path] = {}
    for public, stored in public_names((part.kind, part.name) for part in manifest.parts):
        for name in (public, stored, stored.rsplit("/", 1)[-1]):
            if (folder / name).is_file():
                places[stored] = folder / name
                break
    missing = {part.sha256: part.name for part in manifest.parts if part.name not in places}
    if missing:
        for path in _files(folder):
            name = missing.get(sha256_of(path), "")
            if name:
                places[name] = path
    return places


def _files(folder: Path) -> Iterator[Path]:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= FILES_MAX:
            return
        if path.is_file():
            yield path

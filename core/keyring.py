"""Secrets by version, newest in use: the peppers of API keys, and the key-encryption keys.

A file is `{"1": "<hex>", "2": "<hex>"}` (mode 0600); older versions stay until nothing needs them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit.files import private_folder, write_private

SECRET_BYTES: Final = 32
MAX_VERSION: Final = 255


@dataclass(frozen=True, slots=True)
class Keyring:
    """All versions of one secret."""

    by_version: Mapping[int, bytes] = field(repr=False)

    @property
    def newest(self) -> tuple[int, bytes]:
        """Return the version and bytes that new things are made with."""
        version = max(self.by_version)
        return version, self.by_version[version]


def parse_keyring(text: str) -> Keyring:
    """Read a keyring.

    Raises:
        ValueError: another shape, a version outside 1..255, or less than 32 bytes; the text is
            not shown.
    """
    try:
        found = {int(version): bytes.fromhex(value) for version, value in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError("keyring: not an object of versions and hexadecimal texts") from None
    if not found or min(map(len, found.values())) < SECRET_BYTES:
        raise ValueError("keyring: one secret of at least 32 bytes is needed")
    if not all(1 <= version <= MAX_VERSION for version in found):
        raise ValueError("keyring: versions are 1 to 255")
    return Keyring(found)


def load_or_make_keyring(path: Path) -> Keyring:
    """Read a keyring's file; the dev profile makes it at the first start (mode 0600)."""
    if not path.exists():
        private_folder(path.parent)
        write_private(path, json.dumps({"1": secrets.token_hex(SECRET_BYTES)}).encode())
    return parse_keyring(path.read_text())

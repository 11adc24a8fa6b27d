"""Peppers: the secrets under which key secrets are hashed, by version."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit.files import private_folder, write_private

PEPPER_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Peppers:
    """All peppers in use."""

    by_version: Mapping[int, bytes] = field(repr=False)

    @property
    def newest(self) -> tuple[int, bytes]:
        """Return the version and bytes of the pepper for new secrets."""
        version = max(self.by_version)
        return version, self.by_version[version]


def parse_peppers(text: str) -> Peppers:
    """Read `{"1": "<hex>", …}`.

    Raises:
        ValueError: it has another shape or a pepper of less than 32 bytes; the text is not shown.
    """
    try:
        found = {int(key): bytes.fromhex(value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError("peppers: not an object of versions and hexadecimal texts") from None
    if not found or min(map(len, found.values())) < PEPPER_BYTES:
        raise ValueError("peppers: one of at least 32 bytes is needed")
    return Peppers(found)


def load_or_make_peppers(path: Path) -> Peppers:
    """Read the peppers of a file; the dev profile makes it at the first start (mode 0600)."""
    if not path.exists():
        private_folder(path.parent)
        content = json.dumps({"1": secrets.token_hex(PEPPER_BYTES)})
        write_private(path, content.encode())
    return parse_peppers(path.read_text())

"""Whose signatures count: the platform's keys, from where the user says and from nowhere else.

What is to be proved never says by which keys: whoever makes up a month could make up keys as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kit.cli import CommandFailed, Exit

if TYPE_CHECKING:
    from kit.platform_keys import PublicKeys

KEY_BYTES_MAX: Final = 4 * 1024 * 1024
OPTION_HELP: Final = (
    "The platform's published keys: https:// and where the API is, or a copy that you trust. "
    "Files need it; of a URL, the keys are by default those of its own host."
)


def keys_named(named: str | None) -> PublicKeys:
    """Return the keys at a URL or in a file that the user names.

    Raises:
        CommandFailed: none are named, or there are none.
    """
    from archiver.fetching import fetch_keys  # noqa: PLC0415 - commands start quickly

    if not named:
        raise CommandFailed(
            "Nothing is proved without the platform's keys. Name them with --keys: https:// and"
            " where the API is, or a copy of its /.well-known/1api-keys.json that you trust. Keys"
            " that lie beside the files are not looked at: whoever made the files may have made"
            " them too.",
            code=Exit.USAGE,
            reason="KEYS_MISSING",
        )
    return _parsed(fetch_keys(named) if "://" in named else _read(Path(named)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_BYTES_MAX)
    except OSError:
        raise CommandFailed(
            "The file of keys cannot be read.", code=Exit.USAGE, reason="KEYS_NOT_READ"
        ) from None


def _parsed(text: bytes) -> PublicKeys:
    from kit.platform_keys import InvalidKeySet, parse_keys  # noqa: PLC0415

    try:
        return parse_keys(text)
    except InvalidKeySet:
        raise CommandFailed(
            "The keys are no JSON Web Key Set with Ed25519 keys.",
            code=Exit.USAGE,
            reason="KEYS_NOT_VALID",
        ) from None

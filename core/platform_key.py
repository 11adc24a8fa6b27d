"""The platform's signing key: Ed25519, in a file of its own (0600), replaced at will.

The file is `{"current": "<key id>", "keys": {"<key id>": {"seed": "<hex>"}, …}}`. A key that was
replaced keeps its public half only: what it signed can be checked for ever, and nothing more can be
signed with it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit.canonical import Canonical
from kit.files import private_folder, write_private
from kit.platform_keys import KEY_BYTES, PublicKeys, key_id_of, signed_bytes

_BAD_FILE: Final = "platform key: not an object of a current key and keys by their ids"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, and which key made it."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """The key in use, and the public halves of all that ever were."""

    seed: bytes = field(repr=False)
    public_keys: PublicKeys

    @property
    def key_id(self) -> str:
        """Return the id of the key in use."""
        return next(iter(self.public_keys.by_id))

    def sign(self, label: str, content: Canonical) -> Signature:
        """Sign content of one kind, which the label names."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return Signature(self.key_id, private.sign(signed_bytes(label, content)))


def load_or_make_platform_key(path: Path) -> PlatformKey:
    """Read the key's file; the first process of the dev profile makes it.

    Raises:
        ValueError: another shape; the text is not shown.
    """
    if not path.exists():
        private_folder(path.parent)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        write_private(draft, _file_of(secrets.token_bytes(KEY_BYTES), ()))
        try:
            # Of two processes that start at once one makes the key, and both use it.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return parse_platform_key(path.read_text())


def rotate_platform_key(path: Path) -> PlatformKey:
    """Replace the key in use; processes sign with the new one once they start again.

    Raises:
        ValueError: the file has another shape.
        OSError: there is none, or it cannot be written.
    """
    before = parse_platform_key(path.read_text())
    retired = tuple(before.public_keys.by_id.values())
    write_private(path, _file_of(secrets.token_bytes(KEY_BYTES), retired))
    return parse_platform_key(path.read_text())


def parse_platform_key(text: str) -> PlatformKey:
    """Read a key's file.

    Raises:
        ValueError: another shape, or a key under another one's id; the text is not shown.
    """
    try:
        content = json.loads(text)
        current = content["current"]
        seed = bytes.fromhex(content["keys"][current]["seed"])
        publics = {key_id: _public(entry) for key_id, entry in content["keys"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(_BAD_FILE) from None
    if any(key_id != key_id_of(public) for key_id, public in publics.items()):
        raise ValueError(_BAD_FILE)
    first = {current: publics.pop(current)}
    return PlatformKey(seed, PublicKeys(first | publics))


def _public(entry: Mapping[str, Any]) -> bytes:
    if "seed" in entry:
        return _public_of(bytes.fromhex(entry["seed"]))
    return bytes.fromhex(entry["public"])


def _public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _file_of(seed: bytes, retired: tuple[bytes, ...]) -> bytes:
    current = key_id_of(_public_of(seed))
    keys: dict[str, dict[str, str]] = {current: {"seed": seed.hex()}}
    keys |= {key_id_of(public): {"public": public.hex()} for public in retired}
    return json.dumps({"current": current, "keys": keys}, indent=2).encode()

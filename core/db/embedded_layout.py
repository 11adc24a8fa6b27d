"""Where an embedded cluster lies: its folders, its two passwords, a socket with a short path.

<data dir>/lock             held by whoever runs the server, down to its last backend
<data dir>/passwords.json   0600, made before the cluster
<data dir>/data             the cluster; `data.new` until initdb is through
<data dir>/socket           0700, unless that path is too long for a socket
<data dir>/location         says where `data` is if `nobody` could not reach it here
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit.files import private_folder, write_private

_SOCKET_NAME: Final = ".s.PGSQL.5432"
_SOCKET_PATH_MAX_BYTES: Final = 107
_PASSWORD_BYTES: Final = 32
_SHARED_FOLDER_MODE: Final = 0o755


@dataclass(frozen=True, slots=True)
class Passwords:
    """Generated once per cluster. `superuser` is for the launcher, `login` for the services."""

    superuser: str = field(repr=False)
    login: str = field(repr=False)


def load_or_make_passwords(data_dir: Path) -> Passwords:
    """Read the passwords of this cluster, making them at the first start."""
    path = data_dir / "passwords.json"
    if not path.exists():
        made = {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in ("superuser", "login")}
        write_private(path, json.dumps(made).encode())
    found = json.loads(path.read_bytes())
    return Passwords(superuser=found["superuser"], login=found["login"])


def cluster_root(data_dir: Path, owner: int, shared_root: Path) -> Path:
    """Return the folder that holds `data`, one which user id `owner` can reach.

    That is `data_dir`, except for another account below a folder that lets nobody through: then a
    folder of random name under `shared_root`, remembered in `data_dir`, so that deleting the data
    dir means a new cluster and never an old one with lost passwords.
    """
    if owner == os.geteuid():
        return data_dir
    if _lets_everybody_through(data_dir.parent):
        data_dir.chmod(0o711)
        return data_dir
    pointer = data_dir / "location"
    if not pointer.exists():
        write_private(pointer, str(shared_root / secrets.token_hex(8)).encode())
    root = Path(pointer.read_text())
    for folder in (root.parent, root):
        folder.mkdir(mode=_SHARED_FOLDER_MODE, parents=True, exist_ok=True)
        folder.chmod(_SHARED_FOLDER_MODE)
    return root


def socket_folder(root: Path, data_dir: Path, owner: int) -> Path:
    """Return a 0700 folder of `owner` whose socket path fits into 107 bytes."""
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    name = f"oneapi-{os.geteuid()}-{digest}"
    candidates = [root / "socket"]
    if owner == os.geteuid() and "XDG_RUNTIME_DIR" in os.environ:
        candidates.append(Path(os.environ["XDG_RUNTIME_DIR"], name))
    candidates += [Path(tempfile.gettempdir(), name), Path("/tmp", name)]  # noqa: S108 - 0700
    fitting = (folder for folder in candidates if _fits(folder))
    return private_folder(next(fitting), owner=owner)


def _fits(folder: Path) -> bool:
    exists = folder.parent.is_dir()
    return exists and len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES


def _lets_everybody_through(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))

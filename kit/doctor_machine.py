"""What `1api doctor` looks at on the machine itself, whichever process runs there."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from kit.doctor import Finding, Practice, Surroundings, fine, problem, warning
from kit.lockdown import telltales
from kit.settings import ProcessSettings

FILES_LEAST: Final = 4_096
DISK_PROBLEM_BYTES: Final = 1 << 30
DISK_WARNING_BYTES: Final = 5 << 30
_OURS: Final = "ONEAPI_"
_SWAPS: Final = Path("/proc/swaps")
_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")


def versions(_surroundings: Surroundings) -> Iterable[Finding]:
    """Say which Python runs."""
    found = f"Python {platform.python_version()} on {sys.platform}"
    if sys.platform != "linux":
        yield warning("python", found, "Only Linux is a platform for service.")
    else:
        yield fine("python", found)


def profile(surroundings: Surroundings) -> Iterable[Finding]:
    """Say which profile is set, and whether what is between the processes suits it."""
    name = surroundings.settings.profile
    targets = [surroundings.target(each) for each in ("core_target", "archiver_target")]
    beyond = [target for target in targets if not target.startswith(_LOOPBACK)]
    if name == "production":
        yield problem(
            "profile",
            "production refuses to start: it lacks mutual TLS between the processes",
            "Use the profile `dev` on one machine until it exists.",
        )
    elif beyond:
        yield problem(
            "profile",
            f"tokens without TLS are sent beyond this machine, to {', '.join(beyond)}",
            "Let the processes reach each other on loopback only.",
        )
    else:
        yield fine("profile", f"{name}: tokens on loopback, no TLS between the processes")


def variables(surroundings: Surroundings) -> Iterable[Finding]:
    """Look for variables that nobody reads, and for those that make a library tell content."""
    ours = {name for name in surroundings.environment if name.startswith(_OURS)}
    unknown = sorted(ours - surroundings.known_variables)
    if unknown:
        mend = "Correct the names or remove them: nobody reads them."
        yield warning("environment", f"unknown: {', '.join(unknown)}", mend)
    telling = telltales(surroundings.environment)
    if telling:
        mend = "Unset them: content or keys could leave the processes."
        yield problem("environment", f"telling: {', '.join(telling)}", mend)
    if not unknown and not telling:
        yield fine("environment", f"{len(ours)} settings, all known")


def secrets(surroundings: Surroundings) -> Iterable[Finding]:
    """Check that files with secrets are for their owner only."""
    root, bad, seen = surroundings.data_dir, [], 0
    if not root.exists():
        mend = "Start `1api up`, or set ONEAPI_DATA_DIR."
        yield warning("data directory", f"{root} does not exist", mend)
        return
    for path in _secret_files(surroundings):
        seen += 1
        mode = path.stat()
        if mode.st_mode & 0o077 or mode.st_uid != os.geteuid():
            bad.append(f"{path.name} ({stat.S_IMODE(mode.st_mode):04o})")
    if bad:
        mend = f"chown to the service's user; chmod 600 the files, 700 the folders below {root}."
        yield problem("credentials", f"open to others: {', '.join(bad)}", mend)
    else:
        yield fine("credentials", f"{seen} files and folders are for their owner only")


def files(_surroundings: Surroundings) -> Iterable[Finding]:
    """Check how many files and connections a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft} open files (at most {hard})"
    if soft < FILES_LEAST:
        mend = f"Raise it where the service is started: ulimit -n {FILES_LEAST * 4}."
        yield warning("file limit", found, mend)
    else:
        yield fine("file limit", found)


def memory(_surroundings: Surroundings) -> Iterable[Finding]:
    """Check that memory, which holds content, is not written to a disk by the system."""
    try:
        swaps = len(_SWAPS.read_text().splitlines()) - 1
    except OSError:
        return
    if swaps > 0:
        mend = "Encrypt it or turn it off (swapoff): content in memory could be written there."
        yield warning("swap", f"{swaps} swap areas are on", mend)
    else:
        yield fine("swap", "off; the processes forbid core dumps themselves")


def disk(surroundings: Surroundings) -> Iterable[Finding]:
    """Check the room for spools and the database."""
    root = surroundings.data_dir
    while not root.exists():
        root = root.parent
    yield room("disk", root)


def room(check: str, path: Path) -> Finding:
    """Return whether the disk of a path has room."""
    free = shutil.disk_usage(path).free
    found = f"{free / (1 << 30):.1f} GiB free for {path}"
    mend = "Make room: without it new requests are refused, running ones are still recorded."
    if free < DISK_PROBLEM_BYTES:
        return problem(check, found, mend)
    return warning(check, found, mend) if free < DISK_WARNING_BYTES else fine(check, found)


def _secret_files(surroundings: Surroundings) -> Iterator[Path]:
    root = surroundings.data_dir
    folders = [root / name for name in ("keys", "dev", "spool", "logs")]
    yield from (folder for folder in folders if folder.is_dir())
    for folder in (root / "keys", root / "dev"):
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if path.is_file())
    yield from (path for path in (root / "ready.json", root / "control.sock") if path.exists())
    given = surroundings.settings.credentials
    if given is not None and given.exists() and given.parent != root / "dev":
        yield given


MACHINE: Final = Practice(
    checks=(versions, profile, variables, secrets, files, memory, disk),
    settings=(ProcessSettings,),
)

"""The data directory of a run: its locks, tokens, logs, and the file that says it is ready.

up.lock               held by the supervisor: one run at a time
children.lock         held by every child too: free when the last one of an earlier run is gone
ready.json            there while everything serves
dev/credentials.json  a token per service; dev/example.json is core's
logs/<child>.log      metadata only, bounded
postgres/             the embedded cluster
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kit.cli import CommandFailed, Exit
from kit.files import write_private
from kit.process import LockHeld, hold_lock

CALLERS: Final = ("edge", "archiver", "operator", "core", "finance", "support")
LOG_MAX_BYTES: Final = 8 * 1024 * 1024
_CHILDREN_WAIT_SECONDS: Final = 60.0
_TOKEN_BYTES: Final = 32


class RunFolder:
    """The files of `1api up` below one data directory."""

    def __init__(self, root: Path) -> None:
        """Name the folder; `claim` makes it."""
        self.root = root
        self.postgres = root / "postgres"
        self.credentials = root / "dev" / "credentials.json"
        self._ready = root / "ready.json"
        self._example = root / "dev" / "example.json"
        self._logs = root / "logs"

    def claim(self) -> int:
        """Make the folder ours for this run; it ends with the process.

        Raises CommandFailed (exit code 4) if another run has it.
        """
        for folder in (self.root, self._logs, self.credentials.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = hold_lock(self.root / "up.lock", wait_seconds=0.0)
        except LockHeld:
            raise CommandFailed(
                f"Another `1api up` runs on {self.root}.", code=Exit.REFUSED, reason="ALREADY_UP"
            ) from None
        self.withdraw_ready()
        return descriptor

    def claim_children(self) -> int:
        """Wait until no child of an earlier run is left; return the lock for the new ones."""
        try:
            return hold_lock(self.root / "children.lock", wait_seconds=_CHILDREN_WAIT_SECONDS)
        except LockHeld:
            raise CommandFailed(
                f"Processes of an earlier run on {self.root} have not ended.",
                code=Exit.REFUSED,
                reason="CHILDREN_LEFT",
            ) from None

    def make_credentials(self) -> None:
        """Make a token for each service that has none yet; those that exist stay."""
        known: dict[str, str] = {}
        if self.credentials.exists():
            known = json.loads(self.credentials.read_bytes())
        missing = [name for name in CALLERS if name not in known]
        if missing:
            made = {name: secrets.token_urlsafe(_TOKEN_BYTES) for name in missing}
            write_private(self.credentials, json.dumps({**known, **made}, indent=2).encode())

    def log(self, child: str) -> Path:
        """Return the log of a child, after putting a full one aside."""
        path = self._logs / f"{child}.log"
        if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def bound_logs(self) -> None:
        """Put full logs aside while their writers run: copy, then empty what they append to.

        One that cannot be copied stays as it is until the next time, and hinders no other.
        """
        for path in self._logs.glob("*.log"):
            with contextlib.suppress(OSError):
                _bound(path)

    def example(self) -> Mapping[str, Any]:
        """Return what core wrote about the example workspace; empty if it wrote nothing."""
        if not self._example.exists():
            return {}
        found: Mapping[str, Any] = json.loads(self._example.read_bytes())
        return found

    def announce_ready(self, content: Mapping[str, Any]) -> None:
        """Write ready.json, whole at once."""
        write_private(self._ready, json.dumps(content, indent=2).encode())

    def withdraw_ready(self) -> None:
        """Remove ready.json."""
        self._ready.unlink(missing_ok=True)


def _bound(path: Path) -> None:
    if path.stat().st_size > LOG_MAX_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        with path.open("r+b") as file:
            file.truncate(0)

"""`1api up` as a process of a test, on free ports and a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.processes import PATIENCE_SECONDS, children_of, until

_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()", "up")
START_SECONDS = 120.0


class Up:
    """One run. `stop` and `kill` end it; whoever forgets gets an orphan-free end all the same."""

    def __init__(self, data_dir: Path, *options: str, **settings: str) -> None:
        """Start the command; settings are environment variables without their prefix."""
        self.data_dir = data_dir
        self.output = data_dir.with_name(f"{data_dir.name}.out")
        ports = dict.fromkeys(("EDGE_PORT", "CORE_PORT", "ARCHIVER_PORT"), "0")
        # Most runs buy nothing: one process less.
        ours = {**ports, "STRIPE_SIMULATOR": "false", "DATA_DIR": str(data_dir), **settings}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*_COMMAND, "--with-parent", *options],
                env={**inherited, **{f"ONEAPI_{name}": value for name, value in ours.items()}},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """Wait for ready.json and return it; fail at once if the command has ended."""
        path = self.data_dir / "ready.json"
        until(lambda: path.exists() or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.output.read_text()
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def children(self) -> dict[str, int]:
        """Return the process ids of the children by what they run."""
        return dict(self.every_child())

    def every_child(self) -> list[tuple[str, int]]:
        """Return what the children run and their process ids; several may run the same."""
        found = []
        for child in children_of(self.process.pid):
            with contextlib.suppress(OSError):  # it has just ended
                found.append((_name_of(child), child))
        return found

    def events(self) -> list[dict[str, Any]]:
        """Return what the command reported, if it was started with `--json`."""
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask the command to stop and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def _name_of(process_id: int) -> str:
    words = Path(f"/proc/{process_id}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name

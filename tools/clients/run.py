"""`make clients`: unmodified client libraries against the running service, as a table.

Each library has an environment of its own under build/clients, made from locked versions. The
upstream replays our fixtures; one of them is cut, one never ends. Exit code 1 if a case fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from core.db import embedded
from tests.support.postgres import chosen_bin_dir
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, TEXT, TOOLS, Stack, public_ids

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
BUILD: Final = ROOT / "build" / "clients"
CUT: Final = "openai-chat-text-stream"
ENDLESS: Final = "openai-chat-cached-stream"
CASE_MODELS: Final = {
    "text": TEXT,
    "stream": STREAM,
    "tools": TOOLS,
    "image": "openai-chat-image",
    "schema": "openai-chat-json-schema",
    "refused": "openai-chat-error-400",
    "cut": CUT,
    "endless": ENDLESS,
}
CREDIT_NANOS: Final = 1_000_000_000_000
CLIENT_SECONDS_MAX: Final = 300


@dataclass(slots=True)
class Findings:
    """What one client's cases came to; an empty one could not be run here."""

    name: str
    cases: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def failed(self) -> bool:
        """Say whether a case failed."""
        return any(told != "ok" for name, told in self.cases.items() if name != "version")


def python_client(lock: str, program: str) -> list[str]:
    """Make the environment of a lock, if need be; return the command that runs the program."""
    folder, locked = BUILD / lock, HERE / "locks" / f"{lock}.txt"
    python, mark = folder / "bin" / "python", folder / ".made-of"
    if not mark.exists() or mark.read_bytes() != locked.read_bytes():
        uv = str(Path(sys.executable).parent / "uv")
        _make(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        install = ("pip", "install", "--quiet", "--python", str(python), "--require-hashes")
        _make(uv, *install, "--requirement", str(locked))
        mark.write_bytes(locked.read_bytes())
    return [str(python), "-I", str(HERE / program)]


def node_client() -> list[str]:
    """Install what the package lock says, if need be; return the command that runs the program."""
    folder, locked = BUILD / "node", HERE / "node" / "package-lock.json"
    mark = folder / ".made-of"
    if not mark.exists() or mark.read_bytes() != locked.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
        _make("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=folder)
        mark.write_bytes(locked.read_bytes())
    shutil.copy(HERE / "node" / "openai.mjs", folder)
    return ["node", str(folder / "openai.mjs")]


def _make(*command: str, folder: Path = ROOT) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


@contextmanager
def service() -> Iterator[Stack]:
    """Run the service in front of a replay upstream, on a database of its own."""
    with tempfile.TemporaryDirectory(prefix="oneapi-clients-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        server = embedded.EmbeddedPostgres(Path(folder) / "pg", bin_dir=chosen_bin_dir())
        try:
            with ReplayProcess() as replay, Stack(data_dir, replay, server.start()) as stack:
                stack.grant(CREDIT_NANOS)
                yield stack
        finally:
            server.stop()


def check(name: str, command: list[str], stack: Stack) -> Findings:
    """Run one client's program; the upstream is asked whether it was cancelled."""
    stack.replay.reset()
    stack.replay.set_faults(CUT, cut_at_event=3)
    stack.replay.set_faults(ENDLESS, endless=True, pace_ms=5)
    names = public_ids()
    done = subprocess.run(
        command,
        env={
            **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
            "OPENAI_BASE_URL": stack.base_url,
            "OPENAI_API_KEY": stack.api_key,
            "CLIENT_MODELS": json.dumps({case: names[stem] for case, stem in CASE_MODELS.items()}),
        },
        stdout=subprocess.PIPE,
        timeout=CLIENT_SECONDS_MAX,
        check=False,
    )
    lines = [line.partition("\t") for line in done.stdout.decode().splitlines()]
    found = Findings(name, {case: told for case, _, told in lines})
    if "version" not in found.cases:
        found.cases["program"] = f"ended with {done.returncode}"
    if found.cases.get("cancel") == "ok":
        found.cases["cancel"] = _cancelled(stack)
    return found


def _cancelled(stack: Stack) -> str:
    try:
        until(lambda: any(one.stem == ENDLESS for one in stack.replay.calls().cancelled))
    except AssertionError:
        return "the upstream was not cancelled"
    return "ok"


def show(findings: list[Findings]) -> None:
    """Print a column for each client and a row for each case."""
    table = Table("case", *(one.name for one in findings))
    cases = dict.fromkeys(case for one in findings for case in one.cases if case != "version")
    for case in ("version", *cases):
        table.add_row(case, *(one.cases.get(case, one.note or "-") for one in findings))
    Console().print(table)


def main() -> int:
    """Check every client; 1 if a case failed, whatever is missing on this machine is said."""
    clients = {
        "openai-python 2": python_client("openai-2", "openai_python.py"),
        "openai-python 3": python_client("openai-3", "openai_python.py"),
        "LangChain": python_client("langchain", "langchain_python.py"),
    }
    missing = []
    if shutil.which("npm") is None:
        missing.append(Findings("openai-node", note="needs Node"))
    else:
        clients["openai-node"] = node_client()
    with service() as stack:
        findings = [check(name, command, stack) for name, command in clients.items()]
    show([*findings, *missing])
    return int(any(one.failed for one in findings))


if __name__ == "__main__":
    sys.exit(main())

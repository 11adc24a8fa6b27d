"""Start a link for a test and tell it what shall go wrong."""

from __future__ import annotations

from pathlib import Path

from tests.support.server_process import ServerProcess


class Wire(ServerProcess):
    """A TCP wire to a port: `wire.tell(mode="freeze")`; see `tests.support.links.wire`."""

    def __init__(self, target: int, *, seed: int = 0, record: Path | None = None) -> None:
        """Lead to a port of this machine; keep all bytes in a folder where one is given."""
        arguments = ["--target", str(target), "--seed", str(seed)]
        if record is not None:
            arguments += ["--record", str(record)]
        super().__init__("tests.support.links.wire", *arguments)


class Messenger(ServerProcess):
    """A carrier of messages: `messenger.tell(repeat=0.1)`; see `tests.support.links.messenger`."""

    def __init__(self, target: int, *, seed: int = 0) -> None:
        """Lead to a port of this machine."""
        arguments = ("--target", str(target), "--seed", str(seed))
        super().__init__("tests.support.links.messenger", *arguments)


class Commits(ServerProcess):
    """A wire to PostgreSQL: `commits.tell(lose_answer=0.1)`; see `tests.support.links.commits`."""

    def __init__(self, target: str, *, seed: int = 0) -> None:
        """Lead to the server's socket file."""
        arguments = ("--target", target, "--seed", str(seed))
        super().__init__("tests.support.links.commits", *arguments)

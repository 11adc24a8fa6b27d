"""Several edges and cores on one database, each a process that a test can kill, freeze and revive.

Every edge reaches its core through a link of its own (`tests.support.links`): a TCP wire or a
messenger, which a test tells what shall go wrong; with `loses_commits` every core reaches the
database through one as well. Ports stay the same over restarts. Core `i % n` serves edge `i`.
PostgreSQL commits as in production but for fsync: a killed process loses nothing
that the kernel has.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx

from core.db import embedded
from kit.files import write_private
from kit.process import Command, launch
from kit.rpc.client import sync_channel
from tests.support.core_process import TOKENS, free_port
from tests.support.links.client import Commits, Messenger, Wire
from tests.support.operator_calls import OperatorCalls
from tests.support.postgres import chosen_bin_dir
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.recordings import PROJECT
from tests.support.server_process import ServerProcess

START_SECONDS_MAX = 120.0
_KERNEL_IS_ENOUGH = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")


@dataclass
class Node:
    """One process of ours: the same command, environment and port in each of its lives."""

    name: str
    module: tuple[str, ...]
    port: int
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0

    def start(self) -> Self:
        """Start it; on the main thread, because it dies with the thread that started it."""
        self.process = launch(
            Command(
                arguments=(sys.executable, "-m", *self.module),
                environment=dict(self.environment),
                folder=PROJECT,
                output=self.log,
                death_signal=signal.SIGKILL,
            )
        )
        return self

    @property
    def pid(self) -> int:
        """Return the process id of this life."""
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Say whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill -9, and collect it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self.deaths += 1

    def stop(self, patience_seconds: float = PATIENCE_SECONDS) -> int:
        """Ask it to end and return its exit code; SIGKILL where it takes too long."""
        if self.process is None:
            return 0
        if self.runs:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(PATIENCE_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)


class EdgeNode(Node):
    """An edge worker."""

    @property
    def base_url(self) -> str:
        """Return where clients go; it ends in `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def is_ready(self) -> bool:
        """Ask whether it takes requests."""
        return _answers(self.port, "/readyz")

    def metrics(self) -> dict[str, float]:
        """Return its metrics by name, labels included."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        lines = httpx.get(url, trust_env=False, timeout=10).text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


class CoreNode(Node):
    """A core."""

    def is_ready(self) -> bool:
        """Ask whether it listens."""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            return True
        return False


class PostgresNode:
    """The database server: `kill` ends it and all its backends at once."""

    def __init__(self, folder: Path) -> None:
        self.server = embedded.EmbeddedPostgres(
            folder, bin_dir=chosen_bin_dir(), settings=_KERNEL_IS_ENOUGH, lock_seconds=60
        )
        self.deaths = 0

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        assert self.server.process is not None
        return self.server.process.pid

    def kill(self) -> None:
        """Kill -9 the whole server, as a power cut to its container would."""
        assert self.server.process is not None
        # Backends lead sessions of their own: left alone, a running COMMIT would still finish.
        for pid in [self.pid, *descendants_of(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.process.wait(PATIENCE_SECONDS)
        self.deaths += 1

    def start(self) -> None:
        """Start it again on the same files."""
        self.server.start()

    def freeze(self) -> None:
        """SIGSTOP the server and its backends."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT them."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        os.killpg(self.pid, number)
        for pid in descendants_of(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def descendants_of(pid: int) -> list[int]:
    """Return the process ids of children, their children, and so on."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants_of(child)]
    return found


@dataclass
class Cluster(OperatorCalls):
    """`with Cluster(folder, edges=3, cores=2) as cluster:` — everything serves, until it ends."""

    folder: Path
    edge_count: int = 1
    core_count: int = 1
    link: Literal["none", "wire", "messenger"] = "wire"
    edge_settings: Mapping[str, str] = field(default_factory=dict)
    core_settings: Mapping[str, str] = field(default_factory=dict)
    provider_variables: Mapping[str, str] = field(default_factory=dict)
    """`NAME_API_KEY` of the upstreams that a test's catalogue names."""
    loses_commits: bool = False
    """Put a wire that can lose commits between each core and the database."""
    seed: int = 1
    record: Path | None = None
    """Folder for what goes over the wires."""
    temporary: Path | None = None
    """Folder for temporary files of our processes, instead of the machine's."""
    with_archiver: bool = False
    """Run an archiver as well, which the edges ask."""

    def __post_init__(self) -> None:
        self.data_dir = self.folder / "data"
        self.postgres = PostgresNode(self.folder / "pg")
        self.cores: list[CoreNode] = []
        self.edges: list[EdgeNode] = []
        self.archivers: list[CoreNode] = []
        self.links: list[ServerProcess] = []
        self.commits: list[Commits] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, edges first."""
        for node in self.nodes:
            if node.runs:
                with contextlib.suppress(ProcessLookupError):
                    node.thaw()
        for link in (*self.links, *self.commits):
            with contextlib.suppress(BrokenPipeError, AssertionError):
                link.stop(signal.SIGKILL)
        self.links.clear()
        self.commits.clear()
        for node in self.nodes:
            if node.runs:
                node.kill()
        if "channel" in self.__dict__:
            self.channel.close()
        if self.postgres.server.process is not None:
            self.postgres.server.stop()

    def stop_gently(self) -> None:
        """Stop the edges, which ship and close their epochs, then the others but the database."""
        for node in self.nodes:
            node.stop()

    def _start(self) -> None:
        dev = self.data_dir / "dev"
        dev.mkdir(parents=True)
        write_private(self.credentials, json.dumps(TOKENS).encode())
        self.database_url = self.postgres.server.start()
        for number in range(self.core_count):
            self.cores.append(self._core(number).start())
            # One after the other: the first makes keys and tables.
            self.until_serving(self.cores[-1])
        if self.with_archiver:
            self.archivers.append(self._archiver().start())
            self.until_serving(self.archivers[-1])
        for number in range(self.edge_count):
            self.edges.append(self._edge(number).start())
        for edge in self.edges:
            self.until_serving(edge)

    def _core(self, number: int) -> CoreNode:
        port = free_port()
        settings = {"CORE_PORT": str(port), **self.core_settings}
        variables = {**self._variables(settings), **self.provider_variables}
        variables["DATABASE_URL"] = self._database_url_of(number)
        log = self.data_dir / f"core-{number}.log"
        return CoreNode(f"core-{number}", ("core",), port, variables, log)

    def _archiver(self) -> CoreNode:
        port = free_port()
        settings = {
            "ARCHIVER_PORT": str(port),
            "CORE_TARGET": f"127.0.0.1:{self.cores[0].port}",
        }
        log = self.data_dir / "archiver.log"
        return CoreNode("archiver", ("archiver",), port, self._variables(settings), log)

    def _database_url_of(self, number: int) -> str:
        if not self.loses_commits:
            return self.database_url
        url = urlsplit(self.database_url)
        (folder,) = parse_qs(url.query)["host"]
        link = Commits(f"{folder}/.s.PGSQL.5432", seed=self.seed * 1_000 + number)
        link.__enter__()
        self.commits.append(link)
        place = f"{url.username}:{url.password}@127.0.0.1:{link.port}"
        plain = "sslmode=disable&gssencmode=disable"
        return url._replace(netloc=place, query=plain).geturl()

    def _edge(self, number: int) -> EdgeNode:
        core = self.cores[number % len(self.cores)]
        target = core.port
        if self.link != "none":
            seed = self.seed * 1_000 + number
            link = (
                Wire(target, seed=seed, record=self.record)
                if self.link == "wire"
                else Messenger(target, seed=seed)
            )
            link.__enter__()
            self.links.append(link)
            target = link.port
        port = free_port()
        ours = {"EDGE_PORT": str(port), "CORE_TARGET": f"127.0.0.1:{target}"}
        if self.archivers:
            ours["ARCHIVER_TARGET"] = f"127.0.0.1:{self.archivers[0].port}"
        ours |= self.edge_settings
        log = self.data_dir / f"edge-{number}.log"
        module = ("edge", "--slot", str(number))
        return EdgeNode(f"edge-{number}", module, port, self._variables(ours), log)

    def _variables(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {"DATA_DIR": str(self.data_dir), **settings}
        if self.temporary is not None:
            inherited["TMPDIR"] = str(self.temporary)
        return {**inherited, **{f"ONEAPI_{name}": value for name, value in ours.items()}}

    @property
    def credentials(self) -> Path:
        """Return the file with the services' tokens."""
        return self.data_dir / "dev" / "credentials.json"

    @property
    def nodes(self) -> list[EdgeNode | CoreNode]:
        """Return all processes of ours."""
        return [*self.edges, *self.archivers, *self.cores]

    def until_serving(self, node: EdgeNode | CoreNode) -> None:
        """Wait until a node takes requests; fail at once if it ended by itself."""
        until(lambda: node.is_ready() or not node.runs, START_SECONDS_MAX)
        assert node.runs, node.log.read_text()[-4_000:]

    def revive(self) -> list[str]:
        """Start again whatever is dead, the database first; return the names."""
        revived = []
        process = self.postgres.server.process
        if process is None or process.poll() is not None:
            self.postgres.start()
            revived.append("postgres")
        for node in self.nodes:
            if not node.runs:
                node.start()
                revived.append(node.name)
        return revived

    @cached_property
    def example(self) -> dict[str, str]:
        """Return what core wrote about the example workspace."""
        found: dict[str, str] = json.loads((self.data_dir / "dev" / "example.json").read_bytes())
        return found

    @property
    def api_key(self) -> str:
        """Return the example workspace's key."""
        return self.example["api_key"]

    @cached_property
    def workspace_id(self) -> str:
        """Return the example workspace."""
        return self.example["workspace_id"]

    @cached_property
    def channel(self) -> grpc.Channel:
        """Return an operator's channel to the last core, past all links."""
        return self.channel_to(self.cores[-1])

    def channel_to(self, core: CoreNode, caller: str = "operator") -> grpc.Channel:
        """Return a channel to one core; the caller closes it."""
        return sync_channel(f"127.0.0.1:{core.port}", TOKENS[caller])

    def run(self, *words: str, expected: int | None = 0) -> Any:
        """Run a command of `1api` against the last core and return its JSON output."""
        variables = self._variables({"CORE_TARGET": f"127.0.0.1:{self.cores[-1].port}"})
        done = subprocess.run(
            [*_COMMAND, *words, "--json"],
            cwd=PROJECT,
            env=variables,
            capture_output=True,
            timeout=START_SECONDS_MAX,
            check=False,
        )
        assert expected in {None, done.returncode}, (done.stdout + done.stderr).decode()
        return json.loads(done.stdout or b"null")

    def import_catalogue(self, document: Mapping[str, Any]) -> None:
        """Import a catalogue and wait until every edge knows its last model."""
        file = self.data_dir / f"catalogue-{time.monotonic_ns()}.json"
        file.write_text(json.dumps(document))
        self.run("catalog", "import", str(file))
        last = document["models"][-1]["public_id"]
        for edge in self.edges:
            path = f"/v1/models/{last}"
            until(partial(_answers, edge.port, path), START_SECONDS_MAX)


def _answers(port: int, path: str) -> bool:
    # Not by httpx: it makes a TLS context for each call, and these are made often.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

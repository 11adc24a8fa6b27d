"""Real processes of one month's life: PostgreSQL, core and archivers that die and come back."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg

from archiver.calendar import droppable_at, eligible_at, format_month
from archiver.settings import ArchiverSettings
from archiver.store.objects import ObjectStore
from archiver.store.opening import open_store
from core.db import bootstrap, embedded, migrate
from core.demo_usage.shape import Customer
from core.partitions.model import expires_at
from kit.files import write_private
from kit.rpc.identity import bearer
from kit.settings import PROJECT_ROOT
from oneapi.archive.v1 import archive_service_pb2 as archive_pb
from oneapi.archive.v1 import archive_service_pb2_grpc as archive_rpc
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1.partition_pb2 import Month
from oneapi.partitions.v1.partition_service_pb2_grpc import PartitionServiceStub
from tests.chaos.archive_kills.bucket import bucket_proxy
from tests.chaos.archive_kills.points import MONTH, Blow, Phase, Trap
from tests.chaos.archive_kills.relay import relay
from tests.chaos.archive_kills.usage import Reporter, make_usage
from tests.chaos.money.link import Link
from tests.support.core_process import TOKENS, CoreProcess, free_port, serves
from tests.support.postgres import PostgresServer, chosen_bin_dir
from tests.support.processes import kill_hard, until
from tests.support.s3_server import s3_server

WORKSPACES = 3
ROWS = 240
KERNEL_IS_ENOUGH = {"fsync": "off"}
"""A killed server loses nothing that it has told the kernel; all else is as in production."""
LEASE_SECONDS = 61
STEP_SECONDS = 240.0
POLL_SECONDS = 0.05
SPARE = timedelta(minutes=1)
_PRICE = """
SELECT p.model_number, p.number FROM price_version AS p JOIN model AS m ON m.number = p.model_number
 WHERE p.lane = 1 AND m.enabled ORDER BY p.number LIMIT 1
"""


@dataclass
class Site:
    """What all rounds share: a PostgreSQL with a template, core's folder, and the usage made.

    `postgres` is None where the server is not ours to kill, `bucket` where the store is a folder.
    """

    folder: Path
    server: PostgresServer
    postgres: embedded.EmbeddedPostgres | None = None
    bucket: Mapping[str, str] | None = None
    template: str = "archive_template"
    customers: list[Customer] = field(default_factory=list)
    price: tuple[int, int] = (0, 0)
    made: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def core_folder(self) -> Path:
        """Core's data directory."""
        return self.folder / "core"

    @property
    def clock(self) -> Path:
        """The file that moves the clocks of all processes."""
        return self.folder / "clock"

    def set_clock(self, moment: datetime) -> None:
        """Let it be that moment for all processes."""
        other = self.clock.with_suffix(".new")
        other.write_text(f"{(moment - datetime.now(UTC)).total_seconds():.0f}")
        other.replace(self.clock)

    def prepare(self) -> None:
        """Make the template: a migrated database with a catalogue and a month of usage."""
        dsn = self.server.make_database(name=self.template)
        bootstrap.ensure_roles(dsn)
        migrate.migrate(dsn)
        made = make_usage(dsn, self.core_folder / "keys", MONTH, ROWS, WORKSPACES)
        self.customers = asyncio.run(made)
        with psycopg.connect(dsn) as connection:
            connection.execute("SET ROLE oneapi_system")
            row = connection.execute(_PRICE).fetchone()
            used = connection.execute("SELECT id, workspace_id FROM usage_record").fetchall()
        assert row is not None
        self.price = (row[0], row[1])
        self.made = {record.bytes: owner.bytes for record, owner in used}


@contextmanager
def site() -> Iterator[Site]:
    """Run PostgreSQL and the S3 server, and make the template."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oneapi-kills-")))
        postgres = embedded.EmbeddedPostgres(
            folder / "postgres", bin_dir=chosen_bin_dir(), settings=KERNEL_IS_ENOUGH
        )
        stack.callback(postgres.stop)
        dsn = postgres.start()
        server = PostgresServer(dsn, postgres.superuser_dsn)
        found = Site(folder, server, postgres, stack.enter_context(s3_server()))
        found.prepare()
        yield found


class World:
    """One month's life on a database of its own."""

    def __init__(self, here: Site, number: int, seed: int, stack: ExitStack) -> None:
        self.site = here
        self.folder = here.folder / f"round-{number}"
        self.folder.mkdir()
        here.set_clock(eligible_at(MONTH) - SPARE)
        self.now = eligible_at(MONTH) - SPARE
        self.dsn = here.server.make_database(template=here.template, name=f"round_{number}")
        stack.callback(self._drop_database)
        self._core_port = free_port()
        self._settings: dict[str, str] = {}
        self.trap = Trap(self._strike, self._nudge, seed)
        self.link = Link(f"127.0.0.1:{self._core_port}")
        stack.callback(self.link.close)
        self.reporter = Reporter(self.link, here.customers, here.price, MONTH)
        self._relay = stack.enter_context(relay(f"127.0.0.1:{self._core_port}", self.trap))
        self.store = self._open_store(number, stack)
        self._core: CoreProcess | None = None
        self._archiver: Archiver | None = None
        self._sleeping: list[Archiver] = []
        self._archivers = 0
        stack.callback(self._end)
        self.file_bytes_max = 0
        """Above zero: archivers can write no larger file, as on a full disk."""

    @property
    def core_target(self) -> str:
        """Where core serves."""
        return f"127.0.0.1:{self._core_port}"

    @property
    def made(self) -> dict[bytes, bytes]:
        """Return all records that were ever taken: each one's id and whose it is."""
        return {**self.site.made, **self.reporter.reported}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read rows over all tenants."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET ROLE oneapi_system")
            return connection.execute(sql.encode()).fetchall()

    def call(self, method: str, request: Any) -> Any:
        """Ask core about the archive."""
        return self.link.call(PartitionServiceStub, method, request)

    def month(self) -> Month:
        """Return the month as core says it is."""
        listed = self.call("ListMonths", pb.ListMonthsRequest()).months
        found: list[Month] = [each for each in listed if each.month == format_month(MONTH)]
        return found[0]

    def go_to(self, moment: datetime) -> None:
        """Move the clock, never back."""
        self.now = max(self.now, moment)
        self.site.set_clock(self.now)

    def enter(self, phase: Phase) -> None:
        """Let it be time for a phase."""
        self.trap.phase = phase
        if phase is Phase.ARCHIVE:
            self.go_to(eligible_at(MONTH))
        elif phase is Phase.DROP:
            self.go_to(droppable_at(self._published_at()) + SPARE)
        elif phase is Phase.EXPIRE:
            self.go_to(expires_at(self._published_at()) + timedelta(days=2))

    def bring_to(self, *states: Month.State.ValueType, without_late: bool = False) -> None:
        """Let archivers work, and put up again what dies, until the month is there.

        Raises:
            AssertionError: it is stuck.
        """
        end = time.monotonic() + STEP_SECONDS
        while True:
            before = len(self.trap.sprung)
            self.revive()
            self.run_archive()
            if len(self.trap.sprung) == before and self._all_live():
                month = self.month()
                if month.state in states and not (without_late and month.late_records):
                    break
            assert time.monotonic() < end, f"stuck: {self.month()} {self._last_lines()}"
        self._wake()

    def revive(self) -> None:
        """Start what is dead, and an archiver in the place of one that sleeps."""
        self._revive_servers()
        self._revive_archiver()

    def _revive_servers(self) -> None:
        if self.site.postgres is not None and not self._database_lives():
            self.site.postgres.start()
        if self._core is None or self._core.process.poll() is not None:
            self._core = CoreProcess(
                self.site.core_folder,
                self.dsn,
                CORE_PORT=str(self._core_port),
                TEST_CLOCK=str(self.site.clock),
            )
            self._core.target = f"127.0.0.1:{self._core_port}"
            self._await_core(self._core)

    @staticmethod
    def _await_core(core: CoreProcess) -> None:
        """Wait until it serves, or is dead again: a blow may fall while it starts."""
        until(lambda: serves(core.target) or core.process.poll() is not None, 60)

    def _revive_archiver(self) -> None:
        archiver = self._archiver
        if archiver is not None and archiver.is_stopped:
            self._sleeping.append(archiver)
            self._archiver = archiver = None
        if archiver is None or archiver.process.poll() is not None:
            # The dead one's lease lives on for a minute.
            self.go_to(self.now + timedelta(seconds=LEASE_SECONDS))
            self._archivers += 1
            self._archiver = Archiver(
                self.folder / f"archiver-{self._archivers}",
                self._relay,
                {**self._settings, "TEST_CLOCK": str(self.site.clock)},
                self.file_bytes_max,
            )
            self._archiver.until_serving()

    def kill_archiver(self) -> None:
        """Kill the archiver that works."""
        if self._archiver is not None and self._archiver.process.poll() is None:
            kill_hard(self._archiver.process)

    def _wake(self) -> None:
        """Let archivers that slept go on where they were; what they do then must change nothing."""
        for archiver in self._sleeping:
            archiver.process.send_signal(signal.SIGCONT)
        if self._sleeping:
            time.sleep(1.5)
        for archiver in self._sleeping:
            kill_hard(archiver.process)
        self._sleeping = []

    def _nudge(self) -> None:
        self.reporter.nudge()

    def _strike(self, blow: Blow) -> None:
        if blow is Blow.ARCHIVER:
            self.kill_archiver()
        elif blow is Blow.CORE:
            if self._core is not None and self._core.process.poll() is None:
                kill_hard(self._core.process)
        elif blow is Blow.POSTGRES:
            server = None if self.site.postgres is None else self.site.postgres.process
            if server is not None and server.poll() is None:
                kill_hard(server)
        elif self._archiver is not None:
            self._archiver.stop_dead()

    def run_archive(self) -> None:
        """Let the archiver do what is due, as far as it gets."""
        archiver = self._archiver
        assert archiver is not None
        asking = threading.Thread(target=archiver.run, daemon=True)
        asking.start()
        while asking.is_alive() and archiver.works:
            self._revive_servers()
            time.sleep(POLL_SECONDS)

    def _all_live(self) -> bool:
        core, archiver = self._core, self._archiver
        if core is None or archiver is None:
            return False
        return archiver.works and core.process.poll() is None and self._database_lives()

    def _database_lives(self) -> bool:
        if self.site.postgres is None:
            return True
        process = self.site.postgres.process
        return process is not None and process.poll() is None

    def _published_at(self) -> datetime:
        return datetime.fromtimestamp(self.month().published_at.ToSeconds(), UTC)

    @property
    def store_folder(self) -> Path:
        """Where the files are if the store is a folder."""
        return self.folder / "store"

    def _open_store(self, number: int, stack: ExitStack) -> ObjectStore:
        given: dict[str, Any]
        if self.site.bucket is None:
            given = {"archive_store": f"file://{self.store_folder}"}
            self._settings = {name.upper(): value for name, value in given.items()}
            return open_store(ArchiverSettings(data_dir=self.folder, **given))
        given = {**self.site.bucket, "archive_store": f"s3://archive/round-{number}"}
        port = int(given["archive_s3_endpoint"].rpartition(":")[2])
        through = stack.enter_context(bucket_proxy(port, self.trap))
        ours = {**given, "archive_s3_endpoint": through}
        self._settings = {name.upper(): value for name, value in ours.items()}
        return open_store(ArchiverSettings(data_dir=self.folder, **given))

    def _last_lines(self) -> str:
        archiver = self._archiver
        return "" if archiver is None else archiver.log.read_text()[-1_500:]

    def _drop_database(self) -> None:
        self.site.server.drop_database(self.dsn)

    def _end(self) -> None:
        for archiver in (*self._sleeping, self._archiver):
            if archiver is not None and archiver.process.poll() is None:
                kill_hard(archiver.process)
        if self._core is not None and self._core.process.poll() is None:
            kill_hard(self._core.process)
        if self.site.postgres is not None and not self._database_lives():
            self.site.postgres.start()


class Archiver:
    """One running `python -m archiver`."""

    def __init__(
        self, folder: Path, core: str, settings: Mapping[str, str], file_bytes_max: int
    ) -> None:
        port = free_port()
        (folder / "dev").mkdir(parents=True)
        write_private(folder / "dev" / "credentials.json", json.dumps(TOKENS).encode())
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {
            "DATA_DIR": str(folder),
            "ARCHIVER_PORT": str(port),
            "CORE_TARGET": core,
            **settings,
        }
        self.log = folder / "archiver.log"
        self.is_stopped = False
        self._target = f"127.0.0.1:{port}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "archiver"],
                cwd=PROJECT_ROOT,
                env={**inherited, **{f"ONEAPI_{name}": text for name, text in ours.items()}},
                stdout=log,
                stderr=log,
            )
        if file_bytes_max:
            limits = (file_bytes_max, file_bytes_max)
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def until_serving(self) -> None:
        """Wait until it serves, or is dead again, or asleep."""
        until(lambda: not self.works or self._listens(), 60)

    def stop_dead(self) -> None:
        """Let it sleep where it is."""
        if self.process.poll() is None:
            self.is_stopped = True
            self.process.send_signal(signal.SIGSTOP)

    def run(self) -> None:
        """Let it do what is due, and wait for the end of it, whatever that is."""
        with grpc.insecure_channel(self._target) as channel, suppress(grpc.RpcError):
            stub: Any = archive_rpc.ArchiveServiceStub(channel)
            request, identity = archive_pb.RunArchiveRequest(), bearer(TOKENS["operator"])
            for _ in stub.RunArchive(request, timeout=STEP_SECONDS, metadata=identity):
                pass

    @property
    def works(self) -> bool:
        """Whether it is there and awake."""
        return not self.is_stopped and self.process.poll() is None

    def _listens(self) -> bool:
        with grpc.insecure_channel(self._target) as channel:
            try:
                grpc.channel_ready_future(channel).result(1)
            except grpc.FutureTimeoutError:
                return False
        return True


@contextmanager
def world(here: Site, number: int, seed: int) -> Iterator[World]:
    """Run one month's life."""
    with ExitStack() as stack:
        yield World(here, number, seed, stack)

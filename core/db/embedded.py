"""Our own PostgreSQL on one machine: no set-up, no network, clean after every kind of death.

The server is a child of its starter, listens on a Unix socket only, wants a generated password,
and ends with its starter (death signal SIGINT: a fast, clean shutdown). That no other server runs
on the same files is proved by a lock that the server itself holds, never by a process id in a file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from core.db import embedded_binaries, embedded_layout
from core.db.embedded_login import DATABASE, LOGIN, ensure_login, own_public_schema
from kit.files import private_folder, sync_folder, write_private
from kit.process import (
    CALLER,
    USER_NAMESPACE,
    Command,
    end,
    hold_lock,
    launch,
    run_to_end,
)

SUPERUSER: Final = "postgres"

_INITDB_SECONDS: Final = 120.0
_READY_SECONDS: Final = 300.0
"""A crash recovery may take minutes; a server that died is noticed at once."""
_STOP_SECONDS: Final = 20.0
_LOCK_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.03
_SHARED_ROOT: Final = Path("/var/lib/oneapi")

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "64",
    "shared_buffers": "64MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # Nothing that a client sent may reach a file: no statements, no parameters, no error texts.
    "log_statement": "none",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class PostgresDidNotStart(RuntimeError):
    """The server ended, or did not answer in time; `log` says why, `exit_code` is None if alive."""

    def __init__(self, exit_code: int | None, log: Path) -> None:
        super().__init__()
        self.exit_code = exit_code
        self.log = log


class ClusterOfAnotherVersion(RuntimeError):
    """The cluster was made by another major version than the binaries given."""

    def __init__(self, cluster: int, binaries: int) -> None:
        super().__init__()
        self.cluster = cluster
        self.binaries = binaries


class EmbeddedPostgres:
    """One cluster below `data_dir` and its server.

    `start` and `stop` serve a starter on the main thread. One with an event loop calls the three
    parts instead: `prepare` and `await_ready` on any thread, `launch` on the main thread.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        bin_dir: Path | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        run_as: str | None = None,
        shared_root: Path = _SHARED_ROOT,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> None:
        """Name the cluster; nothing is touched yet.

        `bin_dir`: other binaries than the wheel's; `log`: the server's own messages; `settings`:
        server settings on top of SETTINGS; `run_as`: an identity of `kit.process` instead of the
        one that fits; `shared_root`: parent of clusters which `nobody` could not reach here;
        `lock_seconds`: how long to wait for an earlier server to be gone.
        """
        self.data_dir = data_dir.absolute()
        self.log = log or self.data_dir / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._given_bin_dir = bin_dir
        self._settings = {**SETTINGS, **(settings or {})}
        self._given_run_as = run_as
        self._shared_root = shared_root
        self._lock_seconds = lock_seconds
        self._lock: int | None = None
        self._command: Command | None = None
        self._socket_folder = self.data_dir / "socket"

    @property
    def dsn(self) -> str:
        """URL of the service database for the ordinary login; known once prepared."""
        return self._url(LOGIN, self._passwords().login, DATABASE)

    @property
    def superuser_dsn(self) -> str:
        """URL for the superuser, for test databases and repairs; no service gets it."""
        return self._url(SUPERUSER, self._passwords().superuser, SUPERUSER)

    def start(self) -> str:
        """Start the server, making the cluster if there is none; return `dsn` when it answers."""
        self.prepare()
        self.launch()
        return self.await_ready()

    def prepare(self) -> None:
        """Take the lock, make the cluster if there is none, clear what a dead server left.

        Raises LockHeld if another server still runs on these files after `lock_seconds`.
        """
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = hold_lock(self.data_dir / "lock", wait_seconds=self._lock_seconds)
        try:
            self._command = self._prepare_command()
        except BaseException:
            self._release_lock()
            raise

    def launch(self) -> None:
        """Start the prepared server as a child of this process; main thread only."""
        if self._command is None or self._lock is None:
            raise RuntimeError("launch comes after prepare")
        try:
            self.process = launch(self._command)
        finally:
            # From here on the server alone holds the lock, so that it is free when the server is.
            self._release_lock()

    def await_ready(self) -> str:
        """Wait until the server answers and has our login and database; return `dsn`."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self._ensure_login_and_database()
                return self.dsn
            except psycopg.OperationalError:
                self._check_alive(deadline)
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Shut the server down (fast, then by force after 20 s); nothing happens if it is gone."""
        if self.process is not None:
            end(self.process, stop_signal=signal.SIGINT, grace_seconds=_STOP_SECONDS)
            self.process = None
        self._release_lock()

    def _prepare_command(self) -> Command:
        bin_dir = self._bin_dir()
        run_as = self._given_run_as or embedded_binaries.choose_run_as(bin_dir)
        owner = _owner(run_as)
        root = embedded_layout.cluster_root(self.data_dir, owner, self._shared_root)
        bin_dir = embedded_binaries.reachable_binaries(bin_dir, run_as, root)
        self._socket_folder = embedded_layout.socket_folder(root, self.data_dir, owner)
        if not (root / "data").exists():
            self._make_cluster(root, bin_dir, run_as)
        self._clear_remains(root / "data")
        return self._server_command(root / "data", bin_dir, run_as)

    def _bin_dir(self) -> Path:
        """Return the binaries for the cluster that is here, if one is."""
        cluster = self._cluster_version()
        if self._given_bin_dir is None:
            return embedded_binaries.choose_bin_dir(cluster)
        given = embedded_binaries.major_version(self._given_bin_dir)
        if cluster is not None and cluster != given:
            raise ClusterOfAnotherVersion(cluster, given)
        return self._given_bin_dir

    def _cluster_version(self) -> int | None:
        pointer = self.data_dir / "location"
        root = Path(pointer.read_text()) if pointer.exists() else self.data_dir
        version = root / "data" / "PG_VERSION"
        return int(version.read_text()) if version.exists() else None

    def _make_cluster(self, root: Path, bin_dir: Path, run_as: str) -> None:
        """Run initdb into `data.new` and rename it, so that `data` is a whole cluster or absent."""
        draft, secret = root / "data.new", root / "initdb.password"
        shutil.rmtree(draft, ignore_errors=True)
        private_folder(draft, owner=_owner(run_as))
        write_private(secret, self._passwords().superuser.encode())
        os.chown(secret, _owner(run_as), -1)
        try:
            code = run_to_end(
                self._initdb_command(draft, secret, bin_dir, run_as),
                timeout_seconds=_INITDB_SECONDS,
            )
        finally:
            secret.unlink(missing_ok=True)
        if code != 0:
            raise PostgresDidNotStart(code, self.log)
        draft.rename(root / "data")
        sync_folder(root)

    def _initdb_command(self, draft: Path, secret: Path, bin_dir: Path, run_as: str) -> Command:
        arguments = [
            str(bin_dir / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth-local=scram-sha-256",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-instructions",
        ]
        if self._settings["fsync"] == "off":
            arguments.append("--no-sync")
        return self._command_for(arguments, draft.parent, run_as, signal.SIGKILL)

    def _server_command(self, data: Path, bin_dir: Path, run_as: str) -> Command:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_folder)}
        arguments = [str(bin_dir / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        return self._command_for(arguments, data, run_as, signal.SIGINT)

    def _command_for(
        self, arguments: list[str], folder: Path, run_as: str, death_signal: signal.Signals
    ) -> Command:
        if self._lock is None:
            raise RuntimeError("a server is started under the lock only")
        return Command(
            arguments=tuple(arguments),
            environment=embedded_binaries.server_environment(),
            folder=folder,
            output=self.log,
            death_signal=death_signal,
            run_as=run_as,
            kept_descriptors=(self._lock,),
        )

    def _clear_remains(self, data: Path) -> None:
        """Remove what a killed server left; the lock proves that none runs, so no pid is asked."""
        for path in (data / "postmaster.pid", *self._socket_folder.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def _ensure_login_and_database(self) -> None:
        secret = self._passwords()
        ensure_login(self._url(SUPERUSER, secret.superuser, SUPERUSER), secret.login)
        own_public_schema(self._url(SUPERUSER, secret.superuser, DATABASE))

    def _check_alive(self, deadline: float) -> None:
        code = None if self.process is None else self.process.poll()
        if code is not None or self.process is None or time.monotonic() > deadline:
            raise PostgresDidNotStart(code, self.log) from None

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _passwords(self) -> embedded_layout.Passwords:
        return embedded_layout.load_or_make_passwords(self.data_dir)

    def _url(self, user: str, password: str, database: str) -> str:
        host = quote(str(self._socket_folder), safe="")
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={host}"


def _owner(run_as: str) -> int:
    """Return the user id that owns the server's files, as seen from here."""
    if run_as in {CALLER, USER_NAMESPACE}:
        return os.geteuid()
    return int(run_as.partition(":")[0])

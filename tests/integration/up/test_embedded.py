"""Our own PostgreSQL, on every major version at hand and as every identity we can take on."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from core.db.embedded import ClusterOfAnotherVersion, EmbeddedPostgres, PostgresDidNotStart
from core.db.embedded_binaries import choose_run_as
from kit.process import CALLER, LockHeld, account
from tests.support.postgres import bin_dirs, chosen_bin_dir
from tests.support.processes import kill_hard, lives, until

Make = Callable[..., EmbeddedPostgres]
_AS_ROOT = os.geteuid() == 0
_NOBODY = pwd.getpwnam("nobody")
_QUICK = {"fsync": "off"}

# The identities of kit.process that this user can take on; as root two, else the one we have.
_IDENTITIES = (
    [choose_run_as(chosen_bin_dir()), account(_NOBODY.pw_uid, _NOBODY.pw_gid)]
    if _AS_ROOT
    else [CALLER]
)
_START_AS_ORDINARY_USER = """
import os, sys
from pathlib import Path
import psycopg
from core.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
with psycopg.connect(server.start()) as connection:
    print(os.geteuid(), connection.execute("SELECT 1 + 1").fetchone()[0])
server.stop()
"""
# As root, `setpriv` turns a test's child into `nobody`, who may look into the folders of root's
# interpreter (CAP_DAC_READ_SEARCH) but may not do anything else that root may.
_AS_NOBODY = (
    [
        "setpriv",
        f"--reuid={_NOBODY.pw_uid}",
        f"--regid={_NOBODY.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=+dac_read_search",
    ]
    if _AS_ROOT
    else []
)
_START_AND_WAIT = """
import sys, time
from pathlib import Path
from core.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder with a short path that every account can reach."""
    with tempfile.TemporaryDirectory(prefix="oneapi-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Make servers on one data directory that are stopped after the test."""
    made: list[EmbeddedPostgres] = []

    def make_one(**options: Any) -> EmbeddedPostgres:
        server = EmbeddedPostgres(folder / "postgres", **{"settings": _QUICK, **options})
        made.append(server)
        return server

    yield make_one
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedPostgres]:
    """Run one server for the tests that only look at it."""
    with tempfile.TemporaryDirectory(prefix="oneapi-") as name:
        server = EmbeddedPostgres(Path(name) / "postgres", settings=_QUICK)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def value_of(dsn: str, statement: str) -> object:
    """Run one statement and return the first column of its first row, if it has rows."""
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


@pytest.mark.parametrize("bin_dir", bin_dirs().values(), ids=map(str, bin_dirs()))
def test_data_survive_a_stop_and_a_kill(make: Make, bin_dir: Path) -> None:
    """Cold start, warm start, and recovery after kill -9 of the server."""
    server = make(bin_dir=bin_dir)
    dsn = server.start()
    value_of(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert server.start() == dsn
    assert server.process is not None
    kill_hard(server.process)
    assert server.start() == dsn
    assert value_of(dsn, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("run_as", _IDENTITIES)
def test_it_starts_as_every_identity(make: Make, run_as: str) -> None:
    """As root: in a user namespace, or as `nobody` where namespaces are forbidden."""
    assert value_of(make(run_as=run_as).start(), "SELECT 1") == 1


@pytest.mark.parametrize("run_as", _IDENTITIES)
def test_it_starts_below_a_folder_that_lets_nobody_through(folder: Path, run_as: str) -> None:
    """Another account gets a cluster and binaries that it can reach; nobody's home is opened."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(
        home / "postgres", settings=_QUICK, run_as=run_as, shared_root=folder / "shared"
    )
    try:
        assert value_of(server.start(), "SELECT 1") == 1
    finally:
        server.stop()
    assert home.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_needs_no_privilege(folder: Path) -> None:
    """The server then runs as its starter; as root, the test becomes `nobody` first."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    user, group = (_NOBODY.pw_uid, _NOBODY.pw_gid) if _AS_ROOT else (os.geteuid(), os.getegid())
    os.chown(home, user, group)
    done = subprocess.run(
        [*_AS_NOBODY, sys.executable, "-c", _START_AS_ORDINARY_USER, str(home / "postgres")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{user} 2\n", done.stderr


def test_it_ends_cleanly_when_its_starter_is_killed(make: Make, folder: Path) -> None:
    """The death signal is a fast shutdown, so the next start has nothing to recover."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _START_AND_WAIT, str(folder / "postgres")], stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    server_id = int(starter.stdout.readline())
    kill_hard(starter)
    starter.stdout.close()
    until(lambda: not lives(server_id))
    server = make()
    assert value_of(server.start(), "SELECT 1") == 1
    log = server.log.read_text()
    assert log.count("database system is shut down") == 1
    assert "automatic recovery" not in log


def test_a_second_server_on_the_same_files_is_refused(make: Make) -> None:
    """The running server itself holds the lock."""
    make().start()
    with pytest.raises(LockHeld):
        make(lock_seconds=0).start()


def test_a_process_id_in_a_file_proves_nothing(make: Make, folder: Path) -> None:
    """After a crash another process may have the old server's id: here ours has it."""
    server = make()
    server.start()
    assert server.process is not None
    kill_hard(server.process)
    stale = folder / "postgres" / "data" / "postmaster.pid"
    lines = stale.read_text().splitlines()
    stale.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    assert value_of(server.start(), "SELECT 1") == 1


def test_an_interrupted_initdb_is_made_anew(make: Make, folder: Path) -> None:
    """What an unfinished initdb left is no cluster."""
    draft = folder / "postgres" / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    assert value_of(make().start(), "SELECT 1") == 1
    assert not draft.exists()


def test_a_deep_data_directory_gets_a_short_socket_path(folder: Path) -> None:
    """A socket's path may have 107 bytes."""
    server = EmbeddedPostgres(folder / ("deep" * 30) / "postgres", settings=_QUICK)
    try:
        dsn = server.start()
        assert value_of(dsn, "SELECT 1") == 1
        socket_folder = Path(parse_qs(urlsplit(dsn).query)["host"][0])
        assert len(str(socket_folder)) < 80
        assert socket_folder.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


def test_it_listens_on_no_network_and_wants_a_password(running: EmbeddedPostgres) -> None:
    """Neither another host nor a local user without the password gets in."""
    dsn = running.dsn
    assert value_of(dsn, "SHOW listen_addresses") == ""
    password = urlsplit(dsn).password
    assert password
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn.replace(password, "wrong"))


def test_the_login_is_no_superuser_and_may_make_roles(running: EmbeddedPostgres) -> None:
    """The services can make their four roles, and cannot get around row-level security."""
    state = value_of(
        running.dsn,
        "SELECT ARRAY[rolsuper, rolbypassrls, rolcreaterole, rolinherit]"
        " FROM pg_roles WHERE rolname = current_user",
    )
    assert state == [False, False, True, False]


def test_its_log_holds_neither_statements_nor_values(running: EmbeddedPostgres) -> None:
    """An error text may quote what a client sent; it goes to the client and nowhere else."""
    with (
        psycopg.connect(running.dsn) as connection,
        pytest.raises(psycopg.errors.InvalidTextRepresentation),
    ):
        connection.execute("SELECT 'sesame'::text, %s::int", ("open-sesame",))
    assert "ready to accept connections" in running.log.read_text()
    assert "sesame" not in running.log.read_text()


def test_no_other_user_can_read_its_secrets(running: EmbeddedPostgres) -> None:
    """Passwords and log are files of mode 0600."""
    for name in ("passwords.json", "server.log"):
        assert (running.data_dir / name).stat().st_mode & 0o777 == 0o600


def test_a_cluster_of_another_version_is_refused(make: Make, folder: Path) -> None:
    """The files would not fit; nothing is touched."""
    data = folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ClusterOfAnotherVersion) as refusal:
        make(bin_dir=chosen_bin_dir()).start()
    assert refusal.value.cluster == 9


def test_a_server_that_cannot_start_says_so_at_once(make: Make) -> None:
    """No waiting for a dead server."""
    with pytest.raises(PostgresDidNotStart) as refusal:
        make(settings={**_QUICK, "max_connections": "-1"}).start()
    assert refusal.value.exit_code == 1


def test_stopping_twice_is_harmless(make: Make) -> None:
    """A starter may stop in its clean-up whatever happened before."""
    server = make()
    server.start()
    process = server.process
    server.stop()
    server.stop()
    assert process is not None
    assert process.returncode in {0, -signal.SIGINT}

"""Every place where something could have been left: files, databases, wires, metrics, memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql

from tests.leaktest.needles import Finder, Hit
from tests.support.recordings import PROJECT

PIECE_BYTES = 32 * 1024 * 1024
OVERLAP_BYTES = 4_096
STRANGE_FILE_BYTES_MAX = 64 * 1024 * 1024
STRANGE_FILES_MAX = 100
"""In one folder: what has more belongs to another program."""
BULK = frozenset({"database files", "temporary", "memory of others"})
TEMPORARY = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
_OTHER_RUNS = re.compile(r"oneapi-(break|leaktest|test)-.*|pytest-.*|tmp[a-z0-9_]{8}")
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw(.)(.)")


@dataclass(frozen=True, slots=True)
class Leak:
    """A hit in a sink."""

    sink: str
    place: str
    hit: Hit


@dataclass
class Looked:
    """What was looked through: bytes by sink, and what was found."""

    sizes: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)

    def through(self, finder: Finder, sink: str, place: str, data: bytes) -> None:
        """Look through some bytes of a sink."""
        self.sizes[sink] += len(data)
        self.parts[sink] += 1
        bulk = sink in BULK
        self.leaks += [Leak(sink, place, hit) for hit in finder.find(data, bulk=bulk)]


def pieces_of(path: Path) -> Iterator[bytes]:
    """Give a file in pieces that overlap, so that nothing is cut in two."""
    with path.open("rb") as file:
        rest = b""
        while piece := file.read(PIECE_BYTES):
            yield rest + piece
            rest = piece[-OVERLAP_BYTES:]


def look_at_files(
    looked: Looked, finder: Finder, sink: str, folder: Path, *, excepted: Iterable[Path] = ()
) -> None:
    """Look through every file below a folder, and at the names of the files."""
    spared = set(excepted)
    for path in sorted(folder.rglob("*")):
        looked.through(finder, sink, f"name of {path.name}", os.fsencode(path.name))
        if path in spared or path.is_symlink() or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError):
            for piece in pieces_of(path):
                looked.through(finder, sink, str(path.relative_to(folder)), piece)


def look_at_log(looked: Looked, finder: Finder, path: Path) -> None:
    """Look through a process's output: lines of its log, and whatever else it wrote."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    events = [line for line in lines if _is_event(line)]
    others = [line for line in lines if not _is_event(line)]
    looked.through(finder, "log", path.name, b"\n".join(events))
    looked.through(finder, "output", path.name, b"\n".join(others))


def _is_event(line: bytes) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and "event" in document


def look_at_database(looked: Looked, finder: Finder, superuser_dsn: str) -> None:
    """Look through every row as text, the planner's statistics too; all pages go to disk."""
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
        connection.execute("CHECKPOINT")
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN"
            " ('pg_catalog', 'information_schema')"
            " UNION ALL SELECT 'pg_catalog', 'pg_statistic' UNION ALL"
            " SELECT 'pg_catalog', 'pg_stat_activity'"
        ).fetchall()
        for schema, table in tables:
            statement = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT")
            named = sql.Identifier(schema, table)
            with connection.cursor().copy(statement.format(named)) as copy:
                looked.through(finder, "database", table, b"".join(bytes(row) for row in copy))


def look_at_strange_files(looked: Looked, finder: Finder, before: set[Path]) -> None:
    """Look through the files that have come to places where no file of a service belongs."""
    for top in strange_places() - before:
        for path in (top, *islice(top.rglob("*"), STRANGE_FILES_MAX)):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()[:STRANGE_FILE_BYTES_MAX]
                    looked.through(finder, "temporary", str(path), data)


def strange_places() -> set[Path]:
    """Return what is in the temporary folders, in shared memory and where processes were started.

    Folders of other programs' tests are left out: our processes have a temporary folder of their
    own, which is looked through whole.
    """
    found = {path for folder in (*TEMPORARY, PROJECT) for path in folder.iterdir()}
    return {path for path in found if not _OTHER_RUNS.fullmatch(path.name)}


def memory_of(process_id: int, *, shared: bool = True) -> Iterator[bytes]:
    """Give the writable memory of a process in pieces; PermissionError if it is out of reach."""
    with Path(f"/proc/{process_id}/maps").open() as maps:
        places = [_WRITABLE.match(line) for line in maps]
    with Path(f"/proc/{process_id}/mem").open("rb", buffering=0) as memory:
        for place in places:
            if place is None or (not shared and place[4] == "s"):
                continue
            start, end = int(place[1], 16), int(place[2], 16)
            for at in range(start, end, PIECE_BYTES):
                with contextlib.suppress(OSError, OverflowError):
                    memory.seek(at)
                    yield memory.read(min(PIECE_BYTES + OVERLAP_BYTES, end - at))


def look_at_process(looked: Looked, finder: Finder, name: str, process_id: int) -> None:
    """Look at what everybody can see of a process: its command line and its environment."""
    for part in ("cmdline", "environ"):
        data = Path(f"/proc/{process_id}/{part}").read_bytes()
        looked.through(finder, "environment", f"{name} {part}", data)

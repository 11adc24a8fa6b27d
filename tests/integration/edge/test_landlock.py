"""The kernel keeps a worker from writing anywhere but in its spool (P1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.settings import PROJECT_ROOT

_CODE = """
import json, os, socket, subprocess, sys, tempfile, threading
from pathlib import Path
from edge.landlock import confine_writes

spool, outside = Path(sys.argv[1]), Path(sys.argv[2])
version = confine_writes(spool)

def attempt(work):
    try:
        work()
    except PermissionError:
        return "refused"
    except FileNotFoundError:  # of tempfile, which found no folder that it may write to
        return "refused"
    return "done"

def threaded():
    raised = []
    def work():
        try:
            (outside / "threaded").write_text("x")
        except PermissionError as error:
            raised.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]

def bind():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(outside / "socket"))

kept = spool / "kept"
kept.write_text("ours")
FORBIDDEN = {
    "create": lambda: (outside / "new").write_text("x"),
    "overwrite": lambda: (outside / "old").write_text("x"),
    "append": lambda: (outside / "old").open("ab").close(),
    "truncate": lambda: os.truncate(outside / "old", 0),
    "delete": lambda: (outside / "old").unlink(),
    "make a folder": lambda: (outside / "folder").mkdir(),
    "symbolic link": lambda: (outside / "link").symlink_to("old"),
    "hard link": lambda: os.link(kept, outside / "hard"),
    "move out": lambda: kept.rename(outside / "moved"),
    "named pipe": lambda: os.mkfifo(outside / "pipe"),
    "socket": bind,
    "temporary file": lambda: tempfile.TemporaryFile().close(),
    "unnamed file": lambda: os.close(os.open("/tmp", os.O_TMPFILE | os.O_WRONLY)),
    "shared memory": lambda: Path("/dev/shm/oneapi-test").write_text("x"),
    "another thread": threaded,
    "a program": lambda: subprocess.run(["/bin/true"], check=True),
}
results = {name: attempt(work) for name, work in FORBIDDEN.items()} if version else {}

def use():
    folder = spool / "edge-1" / "7"
    folder.mkdir(parents=True)
    (folder / "draft").write_bytes(b"frames")
    (folder / "draft").rename(folder / "segment")
    os.truncate(folder / "segment", 3)
    assert (folder / "segment").read_bytes() == b"fra"
    (folder / "segment").unlink()
    folder.rmdir()

spool_works = attempt(use) == "done"
reads = (outside / "old").read_text()
print(json.dumps({"version": version, "results": results, "spool": spool_works, "reads": reads}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Run a process that confines itself and then tries everything."""
    root = tmp_path_factory.mktemp("confined")
    spool, outside = root / "spool", root / "outside"
    spool.mkdir()
    outside.mkdir()
    (outside / "old").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(spool), str(outside)],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    if not found["version"]:
        pytest.skip("this kernel has no Landlock: the edge runs unconfined and says so")
    return {**found, "left": sorted(path.name for path in outside.iterdir())}


def test_every_write_outside_the_spool_is_refused(told: dict[str, object]) -> None:
    """Files, folders, links, pipes, sockets, temporary and shared memory files; no program runs."""
    results = told["results"]
    assert isinstance(results, dict)
    assert len(results) == 16
    assert set(results.values()) == {"refused"}, results
    assert told["left"] == ["old"]


def test_the_spool_works_and_everything_can_be_read(told: dict[str, object]) -> None:
    """What a worker needs is left to it."""
    assert told["spool"] is True
    assert told["reads"] == "old"


def test_no_thread_is_there_before_the_worker_confines_itself(tmp_path: Path) -> None:
    """A thread that started earlier would stay unconfined."""
    code = "import os, edge.__main__; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"

"""A real edge whose spool's disk fills up, fails or turns read-only while requests run.

Where the machine lets us: a small file system of memory that fills up, an ext4 image whose error
handling turns it read-only (both need root and a mount namespace of our own), and strace, which
makes every sync of the running worker fail.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.chaos.spool import real_core
from tests.chaos.spool.asking import Answer, Asker
from tests.chaos.spool.real_core import RealCore
from tests.chaos.spool.report import Row
from tests.chaos.spool.strace import HOW_TO_GET, Strace, available
from tests.support.cluster import Cluster, EdgeNode
from tests.support.demo import DemoProcess
from tests.support.processes import until
from tests.support.traffic import Load

RUNNING = 6
TRIES = 20
REFUSALS = 20
REFUSED_MS_MAX = 100
REPORT_SECONDS = 5.0
LEAVES_SECONDS_MAX = 150.0
STREAM = "demo-pace-20"
STREAM_TOKENS = 200
NEW_NAMESPACE = 0x00020000
PRIVATE = 0x00040000 | 0x4000
NEEDS_ROOT = "needs root, mount(8) and mkfs.ext4 to make a small file system: run as root"
FAILED = 1


class MachineTooBusyError(Exception):
    """Requests that take seconds never ran at the same time."""


@dataclass
class World:
    """An edge with its core and demo provider, and a client."""

    cluster: Cluster
    core: RealCore
    asker: Asker

    @property
    def edge(self) -> EdgeNode:
        """Return the edge."""
        return self.cluster.edges[0]

    @property
    def spool_folder(self) -> Path:
        """Return where its disk is mounted."""
        return self.cluster.data_dir / "spool"

    async def start_streams(self, *others: str) -> list[asyncio.Task[Answer]]:
        """Start streams, and whole answers of other models, and return when all of them run."""
        ask = self.asker.ask
        for _ in range(TRIES):
            asked = [ask(STREAM, stream=True, tokens=STREAM_TOKENS) for _ in range(RUNNING)]
            tasks = [asyncio.create_task(one) for one in [*asked, *(ask(name) for name in others)]]
            while not any(task.done() for task in tasks):
                if self.edge.metrics()["oneapi_edge_spool_open_intents"] >= len(tasks):
                    return tasks
                await asyncio.sleep(0.02)
            # A machine so busy that the first one ended before the last one began.
            await asyncio.gather(*tasks)
        raise MachineTooBusyError

    async def refusals(self, row: Row) -> None:
        """Ask for what cannot be recorded: refused at once, with a time to come again."""
        answers, least = [], []
        for _ in range(REFUSALS):
            least.append(await self.asker.ask_health())
            answers.append(await self.asker.ask("demo"))
        row.require(holds=all(one.is_refusal for one in answers), otherwise="no 503 with a time")
        times = [one.seconds * 1_000 for one in answers]
        row.figures["503 after ms (median)"] = round(statistics.median(times), 1)
        row.figures["(most)"] = round(max(times), 1)
        # On a busy machine every answer waits for its turn: that is not the refusal's time.
        idle = statistics.median(least) * 1_000
        row.figures["/healthz (median)"] = round(idle, 1)
        quick = statistics.median(times) - idle <= REFUSED_MS_MAX
        row.require(holds=quick, otherwise=f"refused later than {REFUSED_MS_MAX} ms")

    async def comes_back(self, row: Row) -> None:
        """The worker leaves by itself once the disk is well; its successor serves."""
        process = self.edge.process
        assert process is not None
        code = await asyncio.to_thread(process.wait, LEAVES_SECONDS_MAX)
        row.require(holds=code == os.EX_TEMPFAIL, otherwise=f"the worker left with {code}")
        self.edge.start()
        self.cluster.until_serving(self.edge)
        row.require(holds=await self.is_served(), otherwise="the next worker does not serve")

    async def is_served(self) -> bool:
        """Ask as an SDK does, which asks again after a 503."""
        for _ in range(TRIES):
            answer = await self.asker.ask("demo")
            if not answer.is_refusal:
                return answer.status == 200
            await asyncio.sleep(0.5)
        return False

    def adopted(self) -> None:
        """Wait until every epoch but the last is closed."""
        left = (
            "SELECT count(*) FROM edge_epoch WHERE closed_at IS NULL"
            " AND epoch < (SELECT max(epoch) FROM edge_epoch)"
        )
        until(lambda: self.core.number(left) == 0, LEAVES_SECONDS_MAX)

    def outcomes(self, answers: list[Answer]) -> list[int]:
        """Return the outcomes of the records that core has of these requests."""
        ids = ", ".join(f"'{one.request_id.hex()}'" for one in answers)
        return [
            outcome
            for (outcome,) in self.core.rows(
                f"SELECT outcome FROM usage_record WHERE id IN ({ids})"
            )
        ]


@contextmanager
def world_in(folder: Path) -> Iterator[Cluster]:
    """Run an edge, a core and the demo provider."""
    with DemoProcess() as demo:
        settings = {"DEMO_BASE_URL": demo.base_url}
        with Cluster(folder, link="none", core_settings=settings) as cluster:
            yield cluster


Scenario = Callable[[World, Row], Awaitable[None]]


async def play(cluster: Cluster, scenario: Scenario, row: Row) -> None:
    """Play one scenario, then look at the books."""
    target = f"127.0.0.1:{cluster.cores[0].port}"
    core = real_core.of_folder(target, cluster.database_url, cluster.data_dir)
    async with Asker(cluster.edges[0].base_url, cluster.api_key) as asker:
        await scenario(World(cluster, core, asker), row)
    row.require(holds=not core.wrong_books(), otherwise="the books are wrong")


# --- every sync fails


async def syncs_fail(world: World, row: Row) -> None:
    """Core's acknowledgement takes the place of the sync; nothing is told as a failure."""
    output = world.cluster.folder / "syncs"
    streams = await world.start_streams()
    with _broken(world.edge, output):
        answers = await asyncio.gather(*streams)
        row.tried = len(answers)
        row.require(holds=all(one.whole for one in answers), otherwise="a stream not whole")
        metrics = world.edge.metrics()
        direct = metrics["oneapi_edge_metering_reported_directly_total"]
        row.require(holds=direct == len(answers), otherwise="a request not reported to core")
        row.require(
            holds=metrics["oneapi_edge_spool_state"] == FAILED, otherwise="a spool not failed"
        )
        await world.refusals(row)
    syncs = output.read_text().count("fdatasync(")
    row.require(holds=syncs == 1, otherwise=f"a failed sync was tried again ({syncs})")
    await world.comes_back(row)
    world.adopted()
    recorded = world.outcomes(list(answers))
    row.require(
        holds=recorded == [usage.OUTCOME_SUCCEEDED] * len(answers), otherwise="not recorded once"
    )
    row.require(holds=not world.core.alarms(), otherwise="an alarm")


async def syncs_fail_without_core(world: World, row: Row) -> None:
    """Nobody takes the outcome: the client is told, and the request is a crash, once."""
    streams = await world.start_streams("demo-slow-1000")
    with _broken(world.edge, Path(os.devnull)):
        world.cluster.cores[0].kill()
        answers = await asyncio.gather(*streams)
        row.tried = len(answers)
        told = all(one.code == "not_recorded" for one in answers)
        row.require(holds=told, otherwise="a client not told that nothing was recorded")
        cut = not any(one.whole for one in answers[:-1])
        row.require(holds=cut and answers[-1].status == 503, otherwise="a clean end")
        row.figures["slowest s"] = round(max(one.seconds for one in answers), 1)
        await world.refusals(row)
        world.cluster.revive()
        world.cluster.until_serving(world.cluster.cores[0])
    await world.comes_back(row)
    world.adopted()
    recorded = world.outcomes(list(answers))
    row.require(
        holds=recorded == [usage.OUTCOME_EDGE_CRASH] * len(answers), otherwise="not one crash each"
    )
    row.require(holds=not world.core.alarms(), otherwise="an alarm")


def _broken(edge: EdgeNode, output: Path) -> Strace:
    """Make every sync of the worker fail while the block runs."""
    syncs = ("fdatasync", "fsync")
    return Strace(edge.pid, calls=syncs, inject=f"{','.join(syncs)}:error=EIO", output=output)


# --- a file system that fills up


async def fills_up(world: World, row: Row) -> None:
    """Reserved frames: what runs is recorded, new requests are refused, room brings them back."""
    filler = world.spool_folder / "filler"
    with filler.open("wb") as file:
        file.write(bytes(_free(world.spool_folder)))
    asker, pid = world.asker, world.edge.pid
    # A segment has 8,192 frames, of which the last ones are left for what comes below.
    load = Load(world.edge.base_url, world.cluster.api_key, ("demo", "demo"), cut_every=10**9)
    while (left := 8_192 - world.edge.metrics()["oneapi_edge_spool_appended"]) > 200:
        await load.run(max(1, int(left - 150) // 2))
    streams = await world.start_streams()
    while not (await asker.ask_often(50, "demo"))[-1].is_refusal:
        pass
    await world.refusals(row)
    answers = await asyncio.gather(*streams)
    row.tried = len(answers)
    row.require(holds=all(one.whole for one in answers), otherwise="a stream not whole")
    metrics = world.edge.metrics()
    direct = metrics["oneapi_edge_metering_reported_directly_total"]
    row.require(holds=direct == 0, otherwise="a request had no room of its own")
    filler.unlink()
    until(lambda: _free(world.spool_folder) > 0)
    await asyncio.sleep(0.5)
    row.require(holds=await world.is_served(), otherwise="no request after room came back")
    row.require(holds=world.edge.pid == pid and world.edge.runs, otherwise="a restart")
    await asyncio.sleep(1.0)
    recorded = world.outcomes(list(answers))
    row.require(
        holds=recorded == [usage.OUTCOME_SUCCEEDED] * len(answers), otherwise="not recorded once"
    )
    row.require(holds=not world.core.alarms(), otherwise="an alarm")


# --- a file system that turns read-only


async def turns_read_only(world: World, row: Row) -> None:
    """ext4 meets an error and is read-only until somebody checks and mounts it again."""
    streams = await world.start_streams()
    device = _device_of(world.spool_folder)
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("test")
    answers = await asyncio.gather(*streams)
    row.tried = len(answers)
    row.require(holds=all(one.whole for one in answers), otherwise="a stream not whole")
    await world.refusals(row)
    _run("umount", "-l", str(world.spool_folder))
    image = world.cluster.folder / "image"
    _check_image(world, image)
    _mount_image(image, world.spool_folder)
    await world.comes_back(row)
    world.adopted()
    recorded = world.outcomes(list(answers))
    row.require(
        holds=recorded == [usage.OUTCOME_SUCCEEDED] * len(answers), otherwise="not recorded once"
    )
    alarms = world.core.alarms()
    # The file has the intent only, so that the adopter reports a crash of what core knows better.
    row.figures["conflicts alarmed"] = alarms.pop("record_conflict", 0)
    row.require(holds=not alarms, otherwise="another alarm")


def _check_image(world: World, image: Path) -> None:
    """Check a copy that nobody has open: the dead worker's mount holds the old one."""
    copy = image.with_name("image-checked")
    shutil.copyfile(image, copy)
    copy.replace(image)
    subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False)


def _device_of(folder: Path) -> str:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return next(Path(line.split()[0]).name for line in lines if line.split()[1] == str(folder))


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


# --- mounting


def may_mount() -> bool:
    """Say whether this process can have a mount namespace of its own, and take one."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(NEW_NAMESPACE) != 0:
        return False
    # Nothing that is mounted from here on is seen by anybody else, and it goes with us.
    return bool(library.mount(b"none", b"/", None, PRIVATE, None) == 0)


def _spool_in(folder: Path) -> Path:
    spool = folder / "data" / "spool"
    spool.mkdir(mode=0o700, parents=True)
    return spool


@contextmanager
def _memory_disk(folder: Path, size: str) -> Iterator[None]:
    spool = _spool_in(folder)
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(spool))
    try:
        yield
    finally:
        _run("umount", "-l", str(spool))


@contextmanager
def _image_disk(folder: Path) -> Iterator[None]:
    spool = _spool_in(folder)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    _run("mkfs.ext4", "-q", str(image))
    _mount_image(image, spool)
    try:
        yield
    finally:
        _run("umount", "-l", str(spool))


def _mount_image(image: Path, spool: Path) -> None:
    _run("mount", "-o", "loop,errors=remount-ro", str(image), str(spool))
    spool.chmod(0o700)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


# --- all of it


def attack(folder: Path, *, short: bool) -> Iterator[Row]:
    """Attack the disk of running edges; yield a row for each scenario."""
    rows = [Row("EIO from every sync"), Row("EIO from every sync, core gone")]
    if available():
        with world_in(_made(folder, "syncs")) as cluster:
            asyncio.run(play(cluster, syncs_fail, rows[0]))
            yield rows[0]
            if not short:
                asyncio.run(play(cluster, syncs_fail_without_core, rows[1]))
                yield rows[1]
    else:
        for row in rows:
            row.left_out = HOW_TO_GET
            yield row
    if not short:
        yield from _attack_mounts(folder)


def _attack_mounts(folder: Path) -> Iterator[Row]:
    full, read_only = Row("a full disk"), Row("a disk that turns read-only")
    if not may_mount():
        for row in (full, read_only):
            row.left_out = NEEDS_ROOT
            yield row
        return
    place = _made(folder, "full")
    with _memory_disk(place, "10m"), world_in(place) as cluster:
        asyncio.run(play(cluster, fills_up, full))
    yield full
    place = _made(folder, "read-only")
    with _image_disk(place), world_in(place) as cluster:
        asyncio.run(play(cluster, turns_read_only, read_only))
    yield read_only


def _made(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made

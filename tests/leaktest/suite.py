"""The suite: bring the service up, do everything to it, look everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from core.up.environment import scrubbed
from tests.leaktest import memory, phases, rpc, sinks
from tests.leaktest.memory import Residue
from tests.leaktest.needles import Finder
from tests.leaktest.sinks import Looked
from tests.leaktest.world import World

QUIESCE_SECONDS = 1.0
MEMORY_REQUESTS = 1_000
PHASES: dict[str, Callable[[World], None]] = {
    phase.__name__: phase
    for phase in (
        phases.outcomes,
        phases.images_and_audio,
        phases.texts,
        phases.departures,
        phases.malformed,
        phases.money,
        phases.own_answers,
        phases.core_gone,
        phases.database_gone,
        phases.edge_stopped,
        phases.disk_fails,
        phases.edge_faults,
        phases.core_faults,
        phases.verbose,
        phases.traced,
    )
}
SHORT = (
    *("outcomes", "images_and_audio", "texts", "departures", "malformed", "money", "own_answers"),
    "core_gone",
)


@dataclass
class Found:
    """What one run of the suite did and found."""

    looked: Looked
    calls: int = 0
    canaries: int = 0
    faults: int = 0
    origins: dict[int, str] = field(default_factory=dict)
    residues: dict[str, Residue] = field(default_factory=dict)
    dumps_allowed: list[str] = field(default_factory=list)
    landlock: int = 0
    opens: int = 0
    writes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Say whether anything was found that must not be."""
        kept = any(residue.is_a_leak for residue in self.residues.values())
        return bool(self.looked.leaks or self.dumps_allowed or self.writes or kept)


def run(folder: Path, chosen: Sequence[str], *, memory_requests: int = 0, every: int = 1) -> Found:
    """Run the chosen phases in a folder of their own and look everywhere."""
    before = sinks.strange_places()
    with World(folder, every=every) as world:
        found = Found(world.looked)
        for name in chosen:
            began = time.monotonic()
            PHASES[name](world)
            found.seconds[name] = time.monotonic() - began
        if memory_requests:
            found.residues["as it is"] = memory.residue(world, memory_requests)
        _look_everywhere(world, before, found)
    found.opens, found.writes = world.opens, world.writes
    found.calls, found.faults = world.calls_made, world.faults
    found.canaries = len(world.mint.made)
    found.origins = {
        number: world.mint.origin(number)
        for leak in found.looked.leaks
        if leak.hit.kind == "request" and (number := leak.hit.number) is not None
    }
    return found


def scrubbed_residue(folder: Path, requests: int) -> Residue:
    """Return what stays in an edge's memory under `ONEAPI_SCRUB`."""
    with World(folder, edge_variables=scrubbed({})) as world:
        return memory.residue(world, requests)


def _look_everywhere(world: World, before: set[Path], found: Found) -> None:
    began = time.monotonic()
    time.sleep(QUIESCE_SECONDS)
    cluster, looked = world.cluster, world.looked
    found.landlock = int(world.edge.metrics()["oneapi_edge_landlock_version"])
    found.dumps_allowed = [node.name for node in cluster.nodes if not _refuses_dumps(node.pid)]
    world.look_at_metrics()
    world.look_at_spool()
    sinks.look_at_process(looked, world.finder, "edge", world.edge.pid)
    memory.look_at_others(world)
    superuser = urlsplit(cluster.postgres.server.superuser_dsn)
    dsn = urlunsplit(superuser._replace(path=urlsplit(cluster.database_url).path))
    sinks.look_at_database(looked, world.finder, dsn)
    sinks.look_at_strange_files(looked, world.finder, before)
    sinks.look_at_files(looked, world.finder, "temporary", world.temporary)
    kinds = tuple(kind for kind in world.finder.kinds if kind != world.marks.handed)
    finder = Finder(kinds, world.finder.secrets, spell=rpc.header_forms)
    for name, data in rpc.recorded(world.wires):
        looked.through(finder, "rpc", name, data)
    cluster.stop_gently()
    cluster.postgres.server.stop()
    for path in sorted(cluster.data_dir.glob("*.log")):
        sinks.look_at_log(looked, world.finder, path)
    example = cluster.data_dir / "dev" / "example.json"
    sinks.look_at_files(looked, world.finder, "data files", cluster.data_dir, excepted=[example])
    sinks.look_at_files(looked, world.finder, "database files", cluster.folder / "pg")
    found.seconds["looking"] = time.monotonic() - began


def _refuses_dumps(process_id: int) -> bool:
    limits = Path(f"/proc/{process_id}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    return core.split()[4:6] == ["0", "0"]

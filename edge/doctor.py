"""What `1api doctor` asks the edge, and what it sees in the edges' folders."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge import landlock
from edge.incident.spools import locked_files, slot_folders
from edge.metering.quarantine import read_quarantine
from edge.metering.segment import segment_paths
from edge.settings import EdgeSettings
from kit.doctor import Finding, Practice, Surroundings, fine, problem, warning
from kit.settings import read_or_default

ANSWER_SECONDS: Final = 3.0
LEFT_SECONDS: Final = 60.0
"""A spool that nobody owns is adopted within seconds where an edge runs."""
BACKLOG_FRAMES: Final = 20_000
ASKED: Final = 4
"""Workers answer by chance: several questions reach most of them."""
_FULL: Final = 0.8
_LANDLOCK: Final = "oneapi_edge_landlock_version"
_SPOOL_STATES: Final = {0: "open", 1: "failed", 2: "closed"}


def ready(surroundings: Surroundings) -> Iterable[Finding]:
    """Check that the edge takes requests, and what its workers say of themselves."""
    host, port = address(surroundings)
    status = _get(host, port, "/readyz")[0]
    if status == 0:
        mend = "Start `1api up`; if it runs, see logs/edge-0.log."
        yield problem("edge", f"cannot be reached at {host}:{port}", mend)
        return
    if status != http.client.OK:
        mend = "It is starting, out of touch with core, or its spool has failed: see below."
        yield problem("edge", f"answers {status} at {host}:{port}", mend)
    else:
        yield fine("edge", f"takes requests at {host}:{port}")
    yield from _workers(host, port)


def spools(surroundings: Surroundings) -> Iterable[Finding]:
    """Check the spool folders: what is left, how full they are, and what was set aside."""
    owned, now = locked_files(), surroundings.clock.now_ns() / 1e9
    left, bytes_used = [], 0
    for slot in slot_folders(surroundings.data_dir):
        for folder in (path for path in slot.iterdir() if path.name.isdecimal()):
            size, age = _size_and_age(folder, now)
            bytes_used += size
            if (slot / "lock").stat().st_ino not in owned and age > LEFT_SECONDS:
                left.append(f"{slot.name}/{folder.name}")
    limit = _settings().spool_max_bytes
    if left:
        mend = "Start an edge on this data directory: it adopts and ships them within seconds."
        yield problem("spools", f"left by dead workers: {', '.join(sorted(left))}", mend)
    elif bytes_used > limit * _FULL:
        mend = "Core does not take what is spooled: look at core; new requests are refused soon."
        yield warning("spools", f"{bytes_used >> 20} of {limit >> 20} MiB are used", mend)
    else:
        yield fine("spools", f"{bytes_used >> 20} MiB, all owned by running workers")
    yield from _kept(surroundings)
    yield from _quarantines(surroundings)


def confinement(surroundings: Surroundings) -> Iterable[Finding]:
    """Check whether workers are kept from writing outside of their spool: ask them, if any runs."""
    answers = [_metrics(*address(surroundings)) for _ in range(ASKED)]
    told = [one[_LANDLOCK] for one in answers if _LANDLOCK in one]
    yield judged_confinement(landlock.available_version(), told)


def judged_confinement(available: int, told: Sequence[float]) -> Finding:
    """Judge by what the workers got; what the kernel could do says nothing about them."""
    if not available:
        mend = "Use a kernel of 5.13 or newer with Landlock on; the rest protects without it."
        return warning("landlock", "the kernel has none", mend)
    if not told:
        return fine("landlock", f"the kernel has version {available}; no worker was there to ask")
    if min(told) < 1:
        mend = "Let nothing share the spool's folder, then `1api restart edge`; see edge_confined."
        return warning("landlock", "a worker is not confined although the kernel could", mend)
    return fine("landlock", f"workers are confined by version {min(told):.0f}")


def _workers(host: str, port: int) -> Iterator[Finding]:
    """Report the worst of what a few workers answer."""
    answers = [_metrics(host, port) for _ in range(ASKED)]
    state = max((one.get("oneapi_edge_spool_state", 0) for one in answers), default=0)
    if state:
        mend = "Look at the disk; a worker leaves and is started again once the disk is well."
        yield problem("spool state", _SPOOL_STATES.get(int(state), str(state)), mend)
    if any(one.get("oneapi_edge_in_touch", 1) == 0 for one in answers):
        mend = "Look at core and at the clocks: a worker answers 503 until it hears of core again."
        yield problem("edge and core", "a worker is out of touch with core", mend)
    backlog = max(
        (
            one.get("oneapi_edge_spool_durable", 0) - one.get("oneapi_edge_spool_acked", 0)
            for one in answers
        ),
        default=0,
    )
    if backlog > BACKLOG_FRAMES:
        mend = "Core takes records more slowly than they come: look at core and its database."
        yield warning("backlog", f"{backlog:.0f} frames wait to be shipped", mend)
    else:
        yield fine("backlog", f"{backlog:.0f} frames wait to be shipped")


def _kept(surroundings: Surroundings) -> Iterator[Finding]:
    """Report what was in a spool's folder and was none of its files."""
    slots = slot_folders(surroundings.data_dir)
    found = [f"{slot.name}/{path.name}" for slot in slots for path in slot.glob("*.kept-*")]
    if found:
        mend = (
            "Somebody put files there, or a disk was restored: look at them, then move them away."
        )
        yield warning("foreign files", f"kept from {', '.join(sorted(found))}", mend)


def _quarantines(surroundings: Surroundings) -> Iterator[Finding]:
    counts = {
        slot.name: sum(1 for _ in read_quarantine(slot / "quarantine"))
        for slot in slot_folders(surroundings.data_dir)
        if (slot / "quarantine").exists()
    }
    full = {name: count for name, count in counts.items() if count}
    if full:
        text = ", ".join(f"{name}: {count}" for name, count in full.items())
        mend = "`1api incident` on the requests that alarms name; move the file away when settled."
        yield warning("quarantine", f"frames that never become records: {text}", mend)
    else:
        yield fine("quarantine", "empty")


def address(surroundings: Surroundings) -> tuple[str, int]:
    """Return where the edge listens: the setting's port, else that of this run."""
    settings = _settings()
    # A port of 0 takes a free one: only the run knows which.
    given = "edge_port" in settings.model_fields_set and settings.edge_port
    if not given and "base_url" in surroundings.ready:
        place = urlsplit(str(surroundings.ready["base_url"]))
        return place.hostname or "127.0.0.1", place.port or 80
    return "127.0.0.1", settings.edge_port


def _settings() -> EdgeSettings:
    return read_or_default(EdgeSettings)


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    """Return status and body; 0 if nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("ascii", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _metrics(host: str, port: int) -> dict[str, float]:
    _, text = _get(host, port, "/metrics")
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs if name}


def _size_and_age(folder: Path, now: float) -> tuple[int, float]:
    """Return the bytes of a spool's segments, and how long nobody has written there."""
    try:
        found = [path.stat() for path in segment_paths(folder)]
    except FileNotFoundError:
        return 0, 0.0  # shipped whole since we looked
    newest = max((one.st_mtime for one in found), default=now)
    return sum(one.st_size for one in found), now - newest


practice = Practice(checks=(ready, spools, confinement), settings=(EdgeSettings,))

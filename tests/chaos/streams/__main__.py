"""`python -m tests.chaos.streams [--rounds N] [PART ...]`: streams, on one service.

A row for each part; exit code 0 if all held.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.streams import cuts, leaving, memory, protocols, silence, storm
from tests.support.postgres import forgetful_server
from tests.support.replay.client import ReplayProcess
from tests.support.stack import Stack

CREDIT_NANOS = 10**15
BYTE_CUTS = 200
CANCELS = 10_000
STALLED = 200
DRIPPING = 50
SILENT_SECONDS = 90.0
PROXY_SECONDS = 10.0
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One part's figures, in words, and whether it held."""

    figures: str
    held: bool


def cut(stack: Stack) -> Row:
    """Every chat cut at every event and at random bytes."""
    tally = cuts.run(stack, byte_cuts=BYTE_CUTS)
    _show(tally.wrong)
    figures = (
        f"{tally.cases} cuts: raised {dict(tally.raised)}, records failed {tally.failed}, "
        f"whole all the same {tally.proper}, charged {tally.charged}, wrong {len(tally.wrong)}"
    )
    return Row(figures, not tally.wrong)


def protocol_cuts(stack: Stack) -> Row:
    """Streams of every API cut at every event and at random bytes, for clients of every API."""
    tally = protocols.run(stack, byte_cuts=BYTE_CUTS)
    _show(tally.wrong)
    figures = (
        f"{tally.cases} cuts: raised {dict(tally.raised)}, records failed {tally.failed}, "
        f"whole all the same {tally.proper}, charged {tally.charged}, wrong {len(tally.wrong)}"
    )
    return Row(figures, not tally.wrong)


def leave(stack: Stack) -> Row:
    """The client gone after every event."""
    tally = leaving.run(stack)
    _show(tally.wrong)
    figures = (
        f"{tally.cases} leavings: cancelled {tally.cancelled}, median {tally.median_ms:.0f} ms, "
        f"slowest {tally.slowest_ms:.0f} ms; charged by the provider's usage {tally.by_provider}, "
        f"estimated {tally.estimated}, free {tally.free}, wrong {len(tally.wrong)}"
    )
    return Row(figures, not tally.wrong)


def storms(stack: Stack) -> Row:
    """Clients that leave at any moment, by the thousand."""
    left = storm.run(stack, stack.edge_pid, cancels=CANCELS)
    return Row(str(left), left.held)


def memories(stack: Stack) -> Row:
    """Stalled readers and single bytes."""
    pid = stack.edge_pid
    grown = [
        memory.stalled_readers(stack, pid, streams=STALLED, seconds=memory.FILL_SECONDS),
        memory.single_bytes(stack, pid, streams=DRIPPING, seconds=memory.FILL_SECONDS),
    ]
    return Row(str(grown), all(one.held for one in grown))


def silences(stack: Stack) -> Row:
    """A long silence behind an impatient proxy."""
    bridged = silence.run(stack, silent_seconds=SILENT_SECONDS, proxy_seconds=PROXY_SECONDS)
    return Row(str(bridged), bridged.held)


PARTS: dict[str, Callable[[Stack], Row]] = {
    "cuts": cut,
    "protocols": protocol_cuts,
    "leaving": leave,
    "storm": storms,
    "memory": memories,
    "silence": silences,
}


def _show(wrong: list[str]) -> None:
    for line in wrong[:SHOWN]:
        sys.stdout.write(f"   {line}\n")


def main() -> int:
    """Run the parts; 0 if all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="oneapi-streams-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        with (
            forgetful_server() as server,
            ReplayProcess() as replay,
            Stack(data_dir, replay, server.dsn, {"EDGE_WORKERS": "1"}) as stack,
        ):
            stack.grant(CREDIT_NANOS)
            for _ in range(options.rounds):
                for name in options.parts or PARTS:
                    row = PARTS[name](stack)
                    good = good and row.held
                    verdict = "held" if row.held else "FAILED"
                    sys.stdout.write(f"{name:<8} {verdict:<6} {row.figures}\n")
                    sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

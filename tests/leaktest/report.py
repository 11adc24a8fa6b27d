"""What the suite tells: a table of sinks, what was done, and each leak on a line of its own."""

from __future__ import annotations

import sys

from tests.leaktest.needles import shown
from tests.leaktest.sinks import Leak
from tests.leaktest.suite import Found

LEAK = "LEAK"
SHOWN_MAX = 200
MIB = 1024 * 1024


def tell(found: Found) -> None:
    """Print the table."""
    looked = found.looked
    rows = [("sink", "parts", "MiB", "hits")]
    for sink in sorted(looked.parts):
        hits = sum(leak.sink == sink for leak in looked.leaks)
        size = f"{looked.sizes[sink] / MIB:.2f}"
        rows.append((sink, str(looked.parts[sink]), size, str(hits)))
    for row in rows:
        _line(f"{row[0]:<20}{row[1]:>8}{row[2]:>10}{row[3]:>6}")
    _line(
        f"requests {found.calls}, canaries planted in them {found.canaries}, "
        f"places made to fail {found.faults}, hits {len(looked.leaks)}"
    )
    for name, residue in found.residues.items():
        _line(
            f"edge memory, {name}: of {residue.requests} finished requests {residue.prompts} "
            f"prompts and {residue.answers} answers can still be read"
        )
        if residue.is_a_leak:
            _line(f"{LEAK} memory: the edge keeps requests that are over")
    _line(f"landlock {found.landlock or 'is not in this kernel: the edge is not confined'}")
    if found.opens:
        _line(
            f"files opened by the traced edge {found.opens}, of these for writing elsewhere "
            f"than in the spool {len(found.writes)}"
        )
    for line in found.writes[:SHOWN_MAX]:
        _line(f"{LEAK} writes: {line}")
    for name in found.dumps_allowed:
        _line(f"{LEAK} dump: {name} may write a core file")
    for leak in looked.leaks[:SHOWN_MAX]:
        _line(_told(leak, found))
    _line("  ".join(f"{name} {seconds:.1f} s" for name, seconds in found.seconds.items()))


def _told(leak: Leak, found: Found) -> str:
    hit = leak.hit
    origin = found.origins.get(hit.number, "") if hit.number is not None else ""
    return (
        f"{LEAK} {leak.sink}: {hit.kind} ({hit.form}) in {leak.place} {origin}"
        f" at {hit.offset}: {shown(hit)}"
    )


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

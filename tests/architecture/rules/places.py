"""Names of places that differ from machine to machine, so no file may have them."""

from __future__ import annotations

import re

from tests.architecture.rules.tree import Finding

# One letter of each stands in brackets, so that the rule does not find itself.
REGISTRIES = (
    r"p[y]pi\.org",
    r"p[y]thonhosted\.org",
    r"n[p]mjs\.(?:org|com)",
    r"y[a]rnpkg\.com",
    r"(?:proxy|sum)\.g[o]lang\.org",
)
MACHINE_PATHS = (r"/w[o]rk/", r"/r[o]ot/", r"/h[o]me/\w+/", r"/U[s]ers/\w+/")
PLACES = re.compile("|".join([*REGISTRIES, *(rf"(?<![\w.$}}]){path}" for path in MACHINE_PATHS)]))


def places(text: str) -> list[Finding]:
    """Lines that name a package registry or a path of one machine."""
    return [
        Finding(number, f"{match.group()!r} belongs to one machine or network")
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := PLACES.search(line))
    ]

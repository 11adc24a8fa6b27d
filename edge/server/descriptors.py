"""How many connections a worker may have: what its file descriptors allow, less its own needs.

A worker without a free descriptor could open no segment of its spool, so clients are refused first.
"""

from __future__ import annotations

import resource
from typing import Final, NamedTuple

from edge.server.front import FrontLimits

OWN_DESCRIPTORS: Final = 256
"""The spool, the links to core, the listener, the loop."""
MOST_NEEDED: Final = 65_536


class Shares(NamedTuple):
    """The most connections of each kind."""

    clients: int
    upstreams: int


def raise_limit() -> int:
    """Take all the descriptors that the system allows us, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_NEEDED if hard == resource.RLIM_INFINITY else min(hard, MOST_NEEDED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_NEEDED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def shares(descriptors: int, upstreams_wanted: int) -> Shares:
    """Divide descriptors: upstreams get what is wanted, but at most a third of what is there."""
    room = max(3, descriptors - OWN_DESCRIPTORS)
    upstreams = min(upstreams_wanted, room // 3)
    return Shares(min(FrontLimits().max_connections, room - upstreams), upstreams)

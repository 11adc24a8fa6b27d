"""What `1api doctor` asks the archiver."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.settings import ArchiverSettings
from kit.doctor import Finding, Practice, Surroundings, fine, problem
from kit.rpc.health import is_serving


def reachable(surroundings: Surroundings) -> Iterable[Finding]:
    """Check that the archiver serves."""
    target = surroundings.target("archiver_target")
    if is_serving(target):
        yield fine("archiver", f"serves at {target}")
    else:
        mend = "Start `1api up`; if it runs, see logs/archiver.log and `1api restart archiver`."
        yield problem("archiver", f"cannot be reached at {target}", mend)


practice = Practice(checks=(reachable,), settings=(ArchiverSettings,))

"""What this machine lacks, which parts of the tests are left out for it, and how to get it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.support.browser import NAMES as BROWSERS
from tests.support.recordings import RECORDINGS_FOLDER


def left_out(
    find: Callable[[str], str | None] = shutil.which, *, recordings: bool | None = None
) -> list[str]:
    """Return a line for each part of the tests that cannot run here."""
    found = RECORDINGS_FOLDER.is_dir() if recordings is None else recordings
    lines = []
    if not found:
        lines.append("recorded exchanges of providers (beside the clone): own fixtures only")
    if find("strace") is None:
        lines.append("kills at each system call of the spool: apt-get install strace")
    if find("node") is None or find("npm") is None:
        lines.append("the TypeScript stub and client: apt-get install nodejs npm")
    if not any(map(find, BROWSERS)):
        lines.append("the pages in a browser: apt-get install chromium")
    return lines

"""`python -m tests.bench.as_installed MODULE`: run a process without what only developers have.

Arrow takes numpy and pandas along where they are at hand: megabytes that no installation has.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Final

DEVELOPERS_ONLY: Final = frozenset({"numpy", "pandas"})


class NotInstalled(MetaPathFinder):
    """Finds what only developers have, and says that it is not there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Refuse these; leave all others to who comes next."""
        del path, target
        if fullname.partition(".")[0] in DEVELOPERS_ONLY:
            raise ModuleNotFoundError(name=fullname)


if __name__ == "__main__":
    del sys.argv[0]
    sys.meta_path.insert(0, NotInstalled())
    runpy.run_module(sys.argv[0], run_name="__main__")

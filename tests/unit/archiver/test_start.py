"""How the process starts: what it loads, and what it does not need."""

from __future__ import annotations

import subprocess
import sys

from kit.settings import PROJECT_ROOT


def run(code: str) -> None:
    """Run code in a process of its own."""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)


def test_arrow_is_loaded_after_its_allocator_was_chosen() -> None:
    """It reads the choice once: whoever loads it earlier keeps the memory of every row group."""
    run("import sys, archiver.__main__; sys.exit('pyarrow' in sys.modules)")


def test_what_only_developers_have_is_not_needed() -> None:
    """An installation has no numpy and no pandas; Arrow would load them where they are at hand."""
    run(
        "import sys\n"
        "from tests.bench.as_installed import DEVELOPERS_ONLY, NotInstalled\n"
        "sys.meta_path.insert(0, NotInstalled())\n"
        "import archiver.app, core.app\n"
        "sys.exit(bool(DEVELOPERS_ONLY & sys.modules.keys()))"
    )

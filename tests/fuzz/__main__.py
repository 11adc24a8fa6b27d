"""`python -m tests.fuzz sse|spool|head|api --seconds N`: exit code 0 if nothing was found.

The first three run atheris on a parser, the last schemathesis on the running service. What a run
learns stays in `build/fuzz/corpus` for the next one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.fuzz import api
from tests.fuzz.environments import BUILD, NotHere, python_with
from tests.fuzz.targets import TARGETS_BY_NAME, seeds
from tests.support.recordings import PROJECT

NOT_RUN = 3


def fuzz(name: str, seconds: int) -> int:
    """Run atheris on one target; its exit code."""
    python = python_with("atheris")
    corpus = BUILD / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    # The fuzzer's own environment has atheris only; the rest is that of the project.
    ours = [PROJECT, PROJECT / "generated" / "python" / "src", Path(sysconfig.get_path("platlib"))]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ours))}
    harness = Path(__file__).parent / "harness.py"
    command = [str(python), str(harness), name, str(seconds), str(corpus)]
    return subprocess.run(command, cwd=PROJECT, env=variables, check=False).returncode


def main() -> int:
    """Run one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*TARGETS_BY_NAME, "api"])
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    try:
        if options.name == "api":
            return api.run(options.seconds)
        return fuzz(options.name, options.seconds)
    except NotHere as missing:
        sys.stderr.write(f"not run: no environment with {missing} can be made here\n")
        return NOT_RUN


if __name__ == "__main__":
    sys.exit(main())

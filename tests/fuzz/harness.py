"""The fuzzing process: `harness.py NAME SECONDS CORPUS`, in an environment that has atheris."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]  # its own environment has it

with atheris.instrument_imports(include=["edge", "kit", "tests.support.strict_http"]):
    from tests.fuzz.targets import SEED_BYTES_MAX, TARGETS_BY_NAME


def main() -> None:
    """Fuzz until the time is up; a finding ends the process with a code and its input on disk."""
    name, seconds, corpus = sys.argv[1:4]
    limits = (f"-max_total_time={seconds}", f"-max_len={SEED_BYTES_MAX}", "-timeout=10")
    reports = (f"-artifact_prefix={corpus}/found-", "-print_final_stats=1")
    atheris.Setup([sys.argv[0], corpus, *limits, *reports], TARGETS_BY_NAME[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

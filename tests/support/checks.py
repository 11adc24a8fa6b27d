"""A suite's checks: each says what it measured or fails; a table of all."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping


def run_checks(checks: Mapping[str, Callable[[], str | Iterable[str]]]) -> int:
    """Run checks in order and print a row for each; return how many failed."""
    failed = 0
    for name, check in checks.items():
        began = time.monotonic()
        try:
            found = check()
            lines = [found] if isinstance(found, str) else list(found)
            verdict = "held"
        except Exception as error:  # noqa: BLE001 - the other checks go on
            failed, verdict = failed + 1, "FAILED"
            place = traceback.extract_tb(error.__traceback__)[-1]
            lines = [f"{place.name}, line {place.lineno}: {type(error).__name__}: {error}"]
        say(name, verdict, time.monotonic() - began, lines)
    return failed


def say(name: str, verdict: str, seconds: float, lines: Iterable[str]) -> None:
    """Print a row; what it has to say beyond one line comes below it."""
    head = f"{name:<12} {verdict:<7} {seconds:7.1f} s  "
    for line in lines or ("",):
        sys.stdout.write(f"{head}{line}\n")
        head = " " * len(head)
    sys.stdout.flush()


def spread(values: list[float], unit: str) -> str:
    """Return median, 99th percentile and maximum."""
    ordered = sorted(values)
    at = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1)]
    return ", ".join(
        f"{name} {value:,.2f} {unit}" if value < 100 else f"{name} {value:,.0f} {unit}"
        for name, value in zip(("p50", "p99", "max"), at, strict=True)
    )

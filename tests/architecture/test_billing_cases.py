"""docs/billing-cases.md tells the truth: each bad case has its tests, and each test is there."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache

from tests.architecture.rules.tree import ROOT

CASES = 74
PAGE = ROOT / "docs" / "billing-cases.md"
_ROW = re.compile(r"^\| (\d+) \| [^|]+ \| [^|]+ \| (.*) \|$", re.MULTILINE)
_NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
_NUMBERS = re.compile(r"case_(\d+)_")


def rows(page: str) -> dict[int, set[tuple[str, str]]]:
    """Return the tests that each row names, by the number of its case."""
    return {int(number): set(_NAMED.findall(tests)) for number, tests in _ROW.findall(page)}


@lru_cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the tests of a file; of a file that is not there none."""
    file = ROOT / path
    return frozenset(_TEST.findall(file.read_text())) if file.exists() else frozenset()


def numbered() -> dict[int, set[tuple[str, str]]]:
    """Return the tests of the tree whose names say a case's number."""
    found: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for file in (ROOT / "tests").rglob("*.py"):
        path = file.relative_to(ROOT).as_posix()
        for name in names_in(path):
            for number in _NUMBERS.findall(name):
                found[int(number)].add((path, name))
    return found


def test_every_case_has_a_row_and_every_row_a_test_that_exists() -> None:
    """All seventy-four."""
    found = rows(PAGE.read_text())
    assert list(found) == list(range(1, CASES + 1))
    missing = [
        f"{number}: {path}::{name}"
        for number, named in found.items()
        for path, name in named
        if name not in names_in(path)
    ]
    assert not missing, "\n".join(missing)
    assert not [number for number, named in found.items() if not named]


def test_every_test_that_says_a_number_is_in_its_row() -> None:
    """Whoever adds one adds it to the page."""
    found = rows(PAGE.read_text())
    missing = [
        f"{number}: {path}::{name}"
        for number, named in sorted(numbered().items())
        for path, name in sorted(named - found.get(number, set()))
    ]
    assert not missing, "\n".join(missing)


def test_a_row_is_read_as_it_is_written() -> None:
    """Control: a name, two names, none."""
    page = "| 1 | a | b | `tests/a.py::test_x`, `tests/b/c.py::test_y` |\n| 2 | a | b | — |\n"
    assert rows(page) == {1: {("tests/a.py", "test_x"), ("tests/b/c.py", "test_y")}, 2: set()}

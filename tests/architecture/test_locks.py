"""What is installed is what pyproject.toml asks for, pinned and hashed, from no named index."""

from __future__ import annotations

import tomllib

import pytest

from tools import lock
from tools.lock import FINGERPRINT, Lock, faults

WEEK = "1 week"
ASKED = Lock("x.lock", ("click>=8", "psycopg[binary]>=3"))
HEADER = f"{FINGERPRINT}{ASKED.fingerprint(WEEK)}\n"
PINS = "click==8.5 \\\n    --hash=sha256:aa\npsycopg==3.3 \\\n    --hash=sha256:bb\n    # via -\n"


def test_every_lock_answers_the_project() -> None:
    """The committed files."""
    project = tomllib.loads((lock.ROOT / "pyproject.toml").read_text())
    cool_down = project["tool"]["uv"]["exclude-newer"]
    for each in lock.locks(project):
        assert faults(each, (lock.ROOT / each.file).read_text(), cool_down) == []


def test_a_lock_in_order_passes() -> None:
    """Control: no false alarm."""
    assert faults(ASKED, HEADER + PINS, WEEK) == []


@pytest.mark.parametrize(
    "text",
    [
        PINS,
        HEADER + PINS.replace("    --hash=sha256:bb\n", ""),
        HEADER + PINS.replace("psycopg", "psycopg2"),
        HEADER + "--index-url x\n" + PINS,
    ],
)
def test_a_lock_that_may_not_be_installed_from_is_found(text: str) -> None:
    """Control: out of date, without a hash, without a pin, naming an index."""
    assert faults(ASKED, text, WEEK)


def test_another_requirement_or_cool_down_needs_another_lock() -> None:
    """Control: the fingerprint covers the question."""
    assert faults(ASKED, HEADER + PINS, "2 days")
    assert faults(Lock("x.lock", ("click>=8",)), HEADER + PINS, WEEK)

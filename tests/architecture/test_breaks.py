"""The deliberate breaks stay usable: each names its command and fits the tree as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.breaks import Break, BreakIsBadError, breaks_of


def test_every_break_fits_the_tree() -> None:
    """A break that no longer applies proves nothing: mend it with the code that it breaks."""
    assert [one.name for one in breaks_of() if not one.applies()] == []


def test_a_break_without_a_command_is_refused(tmp_path: Path) -> None:
    """Control: what fails must be said."""
    path = tmp_path / "nothing.patch"
    path.write_text("Says what it breaks.\n\ndiff --git a/x b/x\n")
    with pytest.raises(BreakIsBadError):
        Break.read(path)


def test_a_break_of_other_code_does_not_fit(tmp_path: Path) -> None:
    """Control: a hunk whose lines are nowhere."""
    path = tmp_path / "elsewhere.patch"
    path.write_text(
        "Breaks what is not there.\nfails: -m pytest\n\n"
        "--- a/kit/money.py\n+++ b/kit/money.py\n@@ -1,3 +1,3 @@\n zebra\n-giraffe\n+okapi\n lion\n"
    )
    assert not Break.read(path).applies()

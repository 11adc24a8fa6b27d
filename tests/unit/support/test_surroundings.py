"""Who runs the tests is told what they leave out."""

from __future__ import annotations

from tests.support.surroundings import left_out


def test_a_machine_that_has_everything_leaves_nothing_out() -> None:
    """No line at all."""
    assert left_out(lambda name: f"/usr/bin/{name}", recordings=True) == []


def test_each_absent_program_is_named_with_the_way_to_get_it() -> None:
    """One line for each."""
    lines = left_out(lambda _: None, recordings=False)
    assert len(lines) == 4
    assert sum("apt-get install" in line for line in lines) == 3

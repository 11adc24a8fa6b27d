"""A test of many cases fails as they would one by one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import pytest

from tests.support.every import every


@pytest.fixture
def ten() -> int:
    """Give something that is no case."""
    return 10


SEEN: list[tuple[int, str, int]] = []


@every(number=lambda: [1, 2], word=["a", "b"])
def test_each_combination_is_tried_with_the_fixtures(number: int, word: str, ten: int) -> None:
    """As two marks of parametrize would."""
    SEEN.append((number, word, ten))
    assert [(1, "a", 10), (1, "b", 10), (2, "a", 10), (2, "b", 10)][: len(SEEN)] == SEEN


def test_every_failure_is_told_with_its_case() -> None:
    """And a failure hides no other."""

    @every(number=range(4))
    def check(number: int) -> None:
        assert number % 2 == 0
        if number == 2:
            raise LookupError

    with pytest.raises(ExceptionGroup) as raised:
        check()
    kinds = [type(one) for one in raised.value.exceptions]
    assert kinds == [AssertionError, LookupError, AssertionError]
    notes = [note for one in raised.value.exceptions for note in one.__notes__]
    assert notes == ["number 1", "number 2", "number 3"]


@pytest.mark.parametrize("nothing", [(), list])
def test_a_test_without_a_case_fails(nothing: Iterable[int]) -> None:
    """A list that became empty by mistake proves nothing."""

    @every(number=nothing)
    def check(number: int) -> None:
        raise AssertionError

    with pytest.raises(AssertionError, match="no case of number"):
        check()


def test_pytest_is_asked_for_the_fixtures_only() -> None:
    """What a case gives is no fixture."""
    asked = inspect.signature(test_each_combination_is_tried_with_the_fixtures)
    assert list(asked.parameters) == ["ten"]

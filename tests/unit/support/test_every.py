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


@every(number=[1])
def test_fixtures_are_given_as_ever(number: int, ten: int) -> None:
    """By pytest, beside what the case gives."""
    assert (number, ten) == (1, 10)


def test_each_combination_is_tried_once() -> None:
    """As two marks of parametrize would."""
    seen: list[tuple[int, str, int]] = []

    @every(number=lambda: [1, 2], word=["a", "b"])
    def check(number: int, word: str, ten: int) -> None:
        seen.append((number, word, ten))

    check(ten=10)
    assert seen == [(1, "a", 10), (1, "b", 10), (2, "a", 10), (2, "b", 10)]


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


def test_what_pytest_raises_ends_one_case_only() -> None:
    """A case that fails by a word of pytest's, or skips, is a failure like another."""
    seen: list[int] = []

    @every(number=range(5))
    def check(number: int) -> None:
        seen.append(number)
        if number == 1:
            with pytest.raises(LookupError):
                pass
        if number == 2:
            pytest.fail("on purpose")
        if number == 3:
            pytest.skip("not here")

    # A skip that got through would skip this test too.
    with pytest.raises((ExceptionGroup, pytest.skip.Exception)) as raised:
        check()
    assert isinstance(raised.value, ExceptionGroup)
    assert seen == [0, 1, 2, 3, 4]
    assert all(type(one) is AssertionError for one in raised.value.exceptions)
    texts = [str(one) for one in raised.value.exceptions]
    assert texts[0].startswith("Failed: DID NOT RAISE")
    assert texts[1:] == ["Failed: on purpose", "Skipped: not here"]
    notes = [note for one in raised.value.exceptions for note in one.__notes__]
    assert notes == ["number 1", "number 2", "number 3"]


def test_each_case_that_failed_is_named_however_many_they_are() -> None:
    """Where pytest prints a few of a large group, and its message whole."""

    @every(number=range(40))
    def check(number: int) -> None:
        assert number == 0

    with pytest.raises(ExceptionGroup) as raised:
        check()
    lines = raised.value.message.splitlines()
    assert lines == ["39 of 40 cases:", *(f"number {number}" for number in range(1, 40))]


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
    asked = inspect.signature(test_fixtures_are_given_as_ever)
    assert list(asked.parameters) == ["ten"]

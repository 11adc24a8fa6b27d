"""One test for every recording: thousands of cases of a millisecond would cost more as tests.

All cases are tried whatever fails, and the test names each case that failed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import product
from typing import Any

import pytest

Values = Iterable[Any] | Callable[[], Iterable[Any]]


def every(**choices: Values) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a test try each combination of values; values that a function gives are made only then.

    The other arguments of the test are fixtures as ever. A test without any case fails.
    """

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @wraps(check)
        def test(**fixtures: Any) -> None:
            cases = combinations(choices)
            assert cases, f"no case of {' and '.join(choices)}"
            tried = ((case, fault_of(check, case, fixtures)) for case in cases)
            faults = [(words_of(case), fault) for case, fault in tried if fault]
            if faults:
                # Of a large group pytest prints the first faults only: the message names all.
                lines = [f"{len(faults)} of {len(cases)} cases:", *(words for words, _ in faults)]
                raise ExceptionGroup("\n".join(lines), [fault for _, fault in faults])

        asked = inspect.signature(check).parameters
        fixtures_only = [one for name, one in asked.items() if name not in choices]
        vars(test)["__signature__"] = inspect.Signature(fixtures_only)
        return test

    return decorate


def combinations(choices: Mapping[str, Values]) -> list[dict[str, Any]]:
    """Return every combination of one value of each."""
    values = [list(given() if callable(given) else given) for given in choices.values()]
    return [dict(zip(choices, chosen, strict=True)) for chosen in product(*values)]


def fault_of(
    check: Callable[..., None], case: Mapping[str, Any], fixtures: Mapping[str, Any]
) -> Exception | None:
    """Try one case and return what it raised, with the case's name.

    What pytest raises to fail or skip a test is no Exception and would end all cases: it becomes
    an AssertionError, because a case that is left out proves nothing and must not hide the others.
    """
    try:
        check(**case, **fixtures)
    except (pytest.fail.Exception, pytest.skip.Exception) as outcome:
        fault: Exception = AssertionError(f"{type(outcome).__name__}: {outcome}")
        fault.__cause__ = outcome
    except Exception as error:  # noqa: BLE001 it is raised with the others
        fault = error
    else:
        return None
    fault.add_note(words_of(case))
    return fault


def words_of(case: Mapping[str, Any]) -> str:
    """Return a case's name: its values, each behind its argument."""
    return ", ".join(f"{name} {name_of(value)}" for name, value in case.items())


def name_of(value: Any) -> str:
    """Return a word for a value: a recording's is its file's."""
    return str(getattr(value, "stem", value))

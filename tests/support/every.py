"""One test for every recording: thousands of cases of a millisecond would cost more as tests.

All cases are tried whatever fails, and each failure says which case it is of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import product
from typing import Any

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
            faults = [fault for case in cases if (fault := fault_of(check, case, fixtures))]
            if faults:
                raise ExceptionGroup(f"{len(faults)} of {len(cases)} cases", faults)

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
    """Try one case and return what it raised, with the case's name."""
    try:
        check(**case, **fixtures)
    except Exception as error:  # noqa: BLE001 it is raised with the others
        error.add_note(", ".join(f"{name} {name_of(value)}" for name, value in case.items()))
        return error
    return None


def name_of(value: Any) -> str:
    """Return a word for a value: a recording's is its file's."""
    return str(getattr(value, "stem", value))

"""Find a short string that matches a regular expression, for JSON schemas with `pattern`.

Python's own parser of regular expressions gives the tree; the sample takes the first way through
it. Look-arounds and back-references are not supported.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from typing import Any

PATTERN_CHARACTERS_MAX = 512
SAMPLE_CHARACTERS_MAX = 1000

_PRINTABLE = "a0A_ -.:/@#" + "".join(chr(code) for code in range(33, 127)) + "\n\t"
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


class UnsupportedPatternError(Exception):
    """No sample was found: the pattern is invalid, too long, or uses what is left out here."""


def sample(pattern: str) -> str:
    """Give a string that the pattern finds; raises UnsupportedPatternError."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise UnsupportedPatternError
    try:
        with warnings.catch_warnings(action="ignore"):
            text = _sequence(importlib.import_module("re._parser").parse(pattern))
            matches = len(text) <= SAMPLE_CHARACTERS_MAX and re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        raise UnsupportedPatternError from None
    if not matches:
        raise UnsupportedPatternError
    return text


def _sequence(nodes: Any) -> str:
    return "".join(_node(str(operation), argument) for operation, argument in nodes)


def _node(operation: str, argument: Any) -> str:
    make = _NODES.get(operation)
    if make is None:
        raise UnsupportedPatternError
    return make(argument)


def _repeated(argument: Any) -> str:
    lowest, highest, nodes = argument
    times = max(int(lowest), min(1, int(highest)))
    once = _sequence(nodes)
    if len(once) * times > SAMPLE_CHARACTERS_MAX:
        raise UnsupportedPatternError
    return once * times


def _one_of(members: Any) -> str:
    negated = bool(members) and str(members[0][0]) == "NEGATE"
    tests = members[1:] if negated else members
    named = "".join(_named(str(operation), argument) for operation, argument in tests)
    return _first(lambda one: any(_in(one, *test) for test in tests) != negated, named)


def _named(operation: str, argument: Any) -> str:
    """Give a character that a member of a set names itself, in whatever script."""
    if operation == "LITERAL":
        return chr(argument)
    return chr(argument[0]) if operation == "RANGE" else ""


def _in(character: str, operation: Any, argument: Any) -> bool:
    match str(operation):
        case "LITERAL":
            return character == chr(argument)
        case "RANGE":
            return bool(argument[0] <= ord(character) <= argument[1])
        case "CATEGORY":
            return re.match(_CATEGORIES[str(argument)], character) is not None
    raise UnsupportedPatternError


def _first(accepts: Callable[[str], bool], more: str = "") -> str:
    for character in _PRINTABLE + more:
        if accepts(character):
            return character
    raise UnsupportedPatternError


_NODES: dict[str, Callable[[Any], str]] = {
    "LITERAL": chr,
    "NOT_LITERAL": lambda code: _first(lambda character: character != chr(code)),
    "ANY": lambda _argument: "a",
    "AT": lambda _argument: "",
    "IN": _one_of,
    "BRANCH": lambda argument: _sequence(argument[1][0]),
    "SUBPATTERN": lambda argument: _sequence(argument[3]),
    "MAX_REPEAT": _repeated,
    "MIN_REPEAT": _repeated,
    "POSSESSIVE_REPEAT": _repeated,
}

"""Fields of a client's JSON, read with their types checked; a refusal names the path only.

None stands for absent: clients of every API send null for what they do not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.translate.errors import (
    IntegerAboveMaximum,
    IntegerBelowMinimum,
    InvalidType,
    MissingParameter,
)

Object = Mapping[str, Any]


def below(path: str, name: str) -> str:
    """Return the path of a field of the object at `path`; an empty path is the body."""
    return f"{path}.{name}" if path else name


def text(holder: Object, name: str, path: str = "") -> str | None:
    """Return a string, None if it is absent.

    Raises:
        InvalidType: it is something else.
    """
    value = holder.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidType(below(path, name), "a string")
    return value


def required_text(holder: Object, name: str, path: str = "") -> str:
    """Return a string that must be there.

    Raises:
        MissingParameter: it is absent.
        InvalidType: it is something else.
    """
    value = text(holder, name, path)
    if value is None:
        raise MissingParameter(below(path, name))
    return value


def flag(holder: Object, name: str, path: str = "") -> bool | None:
    """Return a boolean, None if it is absent.

    Raises:
        InvalidType: it is something else.
    """
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidType(below(path, name), "a boolean")
    return value


def number(holder: Object, name: str, path: str = "") -> float | None:
    """Return a number as it was spelled, None if it is absent.

    Raises:
        InvalidType: it is something else.
    """
    value = holder.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidType(below(path, name), "a number")
    return value


def integer(
    holder: Object,
    name: str,
    path: str = "",
    *,
    minimum: int | None = None,
    maximum: int | None = None,
) -> int | None:
    """Return an integer within its bounds, None if it is absent.

    Raises:
        InvalidRequest: it is something else, or outside the bounds.
    """
    value = holder.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise InvalidType(below(path, name), "an integer")
    if minimum is not None and value < minimum:
        raise IntegerBelowMinimum(below(path, name), minimum)
    if maximum is not None and value > maximum:
        raise IntegerAboveMaximum(below(path, name), maximum)
    return value


def mapping(holder: Object, name: str, path: str = "") -> dict[str, Any] | None:
    """Return an object, None if it is absent.

    Raises:
        InvalidType: it is something else.
    """
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidType(below(path, name), "an object")
    return value


def required_mapping(holder: Object, name: str, path: str = "") -> dict[str, Any]:
    """Return an object that must be there.

    Raises:
        MissingParameter: it is absent.
        InvalidType: it is something else.
    """
    value = mapping(holder, name, path)
    if value is None:
        raise MissingParameter(below(path, name))
    return value


def mappings(holder: Object, name: str, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return the objects of a list with their paths, none if it is absent.

    Raises:
        InvalidType: it is something else, or one of its elements is.
    """
    found = []
    for index, one in enumerate(elements(holder, name, path)):
        place = f"{below(path, name)}[{index}]"
        if not isinstance(one, dict):
            raise InvalidType(place, "an object")
        found.append((place, one))
    return found


def elements(holder: Object, name: str, path: str = "") -> list[Any]:
    """Return a list, empty if it is absent.

    Raises:
        InvalidType: it is something else.
    """
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidType(below(path, name), "an array")
    return value


def texts(holder: Object, name: str, path: str = "") -> list[str]:
    """Return a string, or strings in a list, as a list; empty if it is absent.

    Raises:
        InvalidType: it is something else, or one of its elements is.
    """
    value = holder.get(name)
    if isinstance(value, str):
        return [value]
    found = elements(holder, name, path)
    for index, one in enumerate(found):
        if not isinstance(one, str):
            raise InvalidType(f"{below(path, name)}[{index}]", "a string")
    return found

"""Pages of a list, newest first, and the query language of `search`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 100
_CLAUSE: Final = re.compile(
    r"""
    \s* (?P<negated>-)? (?P<field>[a-z_.]+)
    (?: \[ (?P<quote>['"]) (?P<key>[^'"]{1,40}) (?P=quote) \] )?
    \s* (?P<operator> : | >= | <= | > | < | ~ )
    \s* (?: (?P<mark>['"]) (?P<text>[^'"]*) (?P=mark) | (?P<number>[0-9]{1,12}) | (?P<null>null) )
    \s*
    """,
    re.VERBOSE,
)
_JOINER: Final = re.compile(r"(AND|OR)\b", re.IGNORECASE)
_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_BOUNDS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(world: World, kind: str, url: str, params: Json, **wanted: Any) -> Json:
    """Return one page of the objects whose fields have the wanted values; None wants nothing."""
    asked = {key: value for key, value in wanted.items() if value is not None}
    found = [
        one
        for one in reversed(world.all(kind))
        if all(one.get(key) == value for key, value in asked.items())
        and is_created_within(one, params.get("created"))
    ]
    return cut(found, url, params)


def is_created_within(one: Json, bounds: int | Json | None) -> bool:
    """Say whether an object was created at the second or within the bounds."""
    if bounds is None:
        return True
    if isinstance(bounds, int):
        return bool(one["created"] == bounds)
    return all(_COMPARE[_BOUNDS[key]](one["created"], at) for key, at in bounds.items())


def cut(found: list[Json], url: str, params: Json) -> Json:
    """Return the page of a list that the cursors and the limit name.

    Raises:
        InvalidRequest: a limit out of range, both cursors, or a cursor that is not in the list.
    """
    limit = limit_of(params)
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise InvalidRequest("You cannot use starting_after and ending_before together")
    if before:
        head = found[: _position(found, before, "ending_before")]
        data, more = head[-limit:], len(head) > limit
    else:
        tail = found[_position(found, after, "starting_after") + 1 :] if after else found
        data, more = tail[:limit], len(tail) > limit
    return {"object": "list", "data": data, "has_more": more, "url": url}


def limit_of(params: Json) -> int:
    """Return the page size.

    Raises:
        InvalidRequest: not from 1 to 100.
    """
    limit: int = params.get("limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidRequest("This value must be between 1 and 100", param="limit")
    return limit


def _position(found: list[Json], object_id: str, param: str) -> int:
    for position, one in enumerate(found):
        if one["id"] == object_id:
            return position
    raise InvalidRequest("No such object in this list", param=param, code="resource_missing")


def search(world: World, kind: str, url: str, params: Json, visible_before: int) -> Json:
    """Return the objects that a query finds, of those created before the index caught up.

    Raises:
        InvalidRequest: the query or the page is none.
    """
    matches = query_of(params["query"])
    found = [
        one
        for one in reversed(world.all(kind))
        if not one.get("deleted") and one["created"] < visible_before and matches(one)
    ]
    limit = limit_of(params)
    start = _start_of(params.get("page", "0"))
    more = len(found) > start + limit
    return {
        "object": "search_result",
        "data": found[start : start + limit],
        "has_more": more,
        "next_page": str(start + limit) if more else None,
        "url": url,
    }


def _start_of(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidRequest("Invalid page", param="page")
    return int(text)


def query_of(text: str) -> Callable[[Json], bool]:
    """Return the predicate of a query such as `metadata['order']:'7' AND status:'succeeded'`.

    Raises:
        InvalidRequest: it cannot be read, or mixes AND with OR.
    """
    clauses, joiners, position = [], set(), 0
    while True:
        clause = _CLAUSE.match(text, position)
        if clause is None:
            raise InvalidRequest("The search query cannot be read", param="query")
        clauses.append(_predicate(clause))
        position = clause.end()
        joiner = _JOINER.match(text, position)
        if joiner is None:
            break
        joiners.add(joiner.group().upper())
        position = joiner.end()
    if position != len(text) or len(joiners) > 1:
        raise InvalidRequest("The search query cannot be read", param="query")
    combine: Callable[[Iterable[bool]], bool] = any if "OR" in joiners else all
    return lambda one: combine(clause(one) for clause in clauses)


def _predicate(clause: re.Match[str]) -> Callable[[Json], bool]:
    operator, negated = clause["operator"], clause["negated"] is not None
    wanted: str | int | None
    if clause["null"]:
        wanted = None
    else:
        wanted = clause["text"] if clause["text"] is not None else int(clause["number"])

    def holds(one: Json) -> bool:
        value = one.get(clause["field"])
        if clause["key"] is not None:
            value = value.get(clause["key"]) if isinstance(value, dict) else None
        return _holds(value, operator, wanted) != negated

    return holds


def _holds(value: Any, operator: str, wanted: str | int | None) -> bool:
    if operator in _COMPARE:
        return (
            isinstance(value, int) and isinstance(wanted, int) and _COMPARE[operator](value, wanted)
        )
    if operator == "~":
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value
    return bool(value == wanted)

"""An object as it is sent: without the simulator's own keys, with what `expand` asks for."""

from __future__ import annotations

import copy
from typing import Any, Final

from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

DEPTH_MAX: Final = 4
# Lists that are left out unless they are asked for, by the kind of their owner.
_LEFT_OUT: Final = {("charge", "refunds"), ("checkout.session", "line_items")}
# What an object has only later; asking for it before is no fault.
_NOT_YET: Final = {("refund", "failure_balance_transaction")}


def public(value: Any) -> Any:
    """Return a copy without the simulator's own keys."""
    if isinstance(value, dict):
        return {key: public(one) for key, one in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [public(one) for one in value]
    return copy.copy(value)


def render(world: World, answer: Json, expand: list[str]) -> Json:
    """Return an answer with its expansions.

    Raises:
        InvalidRequest: a path leads to nothing that can be expanded, or too deep.
    """
    rendered: Json = public(answer)
    for path in sorted(expand):
        steps = path.split(".")
        is_list = rendered["object"] in {"list", "search_result"}
        if len(steps) > DEPTH_MAX + is_list or (is_list and steps[0] != "data"):
            raise _refused(path)
        targets = rendered["data"] if is_list else [rendered]
        for one in targets:
            _expand(world, one, steps[1:] if is_list else steps, path)
    return rendered


def _expand(world: World, owner: Json, steps: list[str], path: str) -> None:
    if not steps:
        raise _refused(path)
    if _is_filled(world, owner, steps):
        return
    name = steps[0]
    if name not in owner or name == "id":
        raise _refused(path)
    value = owner[name]
    if value is None:
        return
    if isinstance(value, str):
        found = world.find(value)
        if found is None:
            raise _refused(path)
        owner[name] = value = public(found)
    for one in value if isinstance(value, list) else [value]:
        if len(steps) > 1 and isinstance(one, dict):
            _expand(world, one, steps[1:], path)


def _is_filled(world: World, owner: Json, steps: list[str]) -> bool:
    """Fill in what is left out unless it is asked for; say whether that is all there is to do."""
    kind, name = owner.get("object"), steps[0]
    if kind == "checkout.session" and steps == ["total_details", "breakdown"]:
        session = world.get(kind, owner["id"], "session")
        owner["total_details"]["breakdown"] = public(session["_breakdown"])
        return True
    if (kind, name) in _LEFT_OUT:
        owner.setdefault(name, _left_out(world, owner, name))
        return True
    return (kind, name) in _NOT_YET and name not in owner


def _left_out(world: World, owner: Json, name: str) -> Json:
    if name == "refunds":
        found = [one for one in world.all("refund") if one["charge"] == owner["id"]]
        data = public(found[::-1][:10])
        url = f"/v1/charges/{owner['id']}/refunds"
        return {"object": "list", "data": data, "has_more": len(found) > 10, "url": url}
    session = world.get("checkout.session", owner["id"], "session")
    url = f"/v1/checkout/sessions/{owner['id']}/line_items"
    data = public(session["_line_items"])
    return {"object": "list", "data": data, "has_more": False, "url": url}


def _refused(path: str) -> InvalidRequest:
    return InvalidRequest("This property cannot be expanded", param=f"expand[{path[:80]}]")

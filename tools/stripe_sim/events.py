"""Events: what happened, as a snapshot (API v1) and as a thin notification (API v2)."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from stripe.events import UnknownEventNotification
from stripe.events._event_classes import get_v2_event_notification_class

from tools.stripe_sim import lists, rendering
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import InvalidRequest, Json, NoSuchObject
from tools.stripe_sim.world import API_VERSION, World

KIND: Final = "event"
THIN: Final = "v2.core.event"
KEPT_SECONDS: Final = 30 * DAY_SECONDS
TYPES_MAX: Final = 20
_COLLECTIONS: Final = {
    "charge": "charges",
    "checkout.session": "checkout/sessions",
    "customer": "customers",
    "dispute": "disputes",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "radar.early_fraud_warning": "radar/early_fraud_warnings",
    "refund": "refunds",
    "setup_intent": "setup_intents",
    "tax_id": "tax_ids",
}


class Journal:
    """Writes an event of each kind whenever something happens to an object."""

    def __init__(self, world: World, tell: Callable[[Json, Json | None], None]) -> None:
        """Listen to the world; `tell` is given the snapshot and the thin event."""
        self._world = world
        self._tell = tell
        world.listeners.append(self.write)

    def write(self, type: str, changed: Json, previous: Json | None) -> None:
        """Keep what happened, and tell of it."""
        world = self._world
        data: Json = {"object": rendering.public(copy.deepcopy(changed))}
        if previous is not None:
            data["previous_attributes"] = copy.deepcopy(previous)
        cause = world.cause
        event = world.add(
            KIND,
            "evt",
            api_version=API_VERSION,
            data=data,
            pending_webhooks=0,
            request={"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            type=type,
        )
        self._tell(event, self._thin(event, changed))

    def _thin(self, event: Json, changed: Json) -> Json | None:
        """Return the notification, None where the SDK knows none of this type."""
        name = f"v1.{event['type']}"
        if get_v2_event_notification_class(name) is UnknownEventNotification:
            return None
        related = {
            "id": changed["id"],
            "type": changed["object"],
            "url": f"/v1/{_COLLECTIONS[changed['object']]}/{changed['id']}",
        }
        cause = self._world.cause
        reason = None
        if cause.request_id is not None:
            key = cause.idempotency_key or ""
            request = {"id": cause.request_id, "idempotency_key": key}
            reason = {"type": "request", "request": request}
        thin = self._world.add(
            THIN,
            "evt_test",
            changes=None,
            context=None,
            reason=reason,
            related_object=related,
            snapshot_event=event["id"],
            type=name,
        )
        thin["_created"] = thin["created"]
        thin["created"] = as_text(self._world.clock.now_ms())
        return thin


def as_text(now_ms: int) -> str:
    """Return a moment as API v2 writes it."""
    text = datetime.fromtimestamp(now_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{now_ms % 1_000:03d}Z"


def notification(thin: Json) -> Json:
    """Return the part of a thin event that is delivered."""
    names = ("id", "object", "type", "created", "livemode", "context", "related_object", "reason")
    return {name: thin[name] for name in names}


def retrieve(world: World, call: Call) -> Json:
    """Return an event of the last 30 days."""
    return _fresh(world, world.get(KIND, call.id, "id"))


def _fresh(world: World, event: Json) -> Json:
    created: int = event.get("_created") or event["created"]
    if created < world.now() - KEPT_SECONDS:
        raise NoSuchObject("event", "id")
    return event


def list_all(world: World, call: Call) -> Json:
    """Return a page of events; `delivery_success` asks for those delivered everywhere, or not.

    Raises:
        InvalidRequest: too many types, or both ways to name them.
    """
    given = call.params
    types = given.get("types")
    if types is not None and ("type" in given or len(types) > TYPES_MAX):
        raise InvalidRequest("Name one type, or at most 20 types", param="types")
    wanted = [given["type"]] if "type" in given else types
    success = given.get("delivery_success")
    found = [
        one
        for one in reversed(world.all(KIND))
        if one["created"] >= world.now() - KEPT_SECONDS
        and lists.is_created_within(one, given.get("created"))
        and (wanted is None or any(_is_of_type(one["type"], name) for name in wanted))
        and (success is None or success == (one["pending_webhooks"] == 0))
    ]
    return lists.cut(found, call.url, given)


def _is_of_type(type: str, pattern: str) -> bool:
    """Say whether a type is meant, by name or as `charge.*`."""
    if pattern.endswith("*"):
        return type.startswith(pattern[:-1])
    return type == pattern


def retrieve_thin(world: World, call: Call) -> Json:
    """Return a thin event with what its notification leaves out."""
    return _fresh(world, world.get(THIN, call.id, "id"))


def list_thin(world: World, call: Call) -> Json:
    """Return a page of thin events, newest first."""
    given = call.params
    types = given.get("types")
    found = [
        one
        for one in reversed(world.all(THIN))
        if one["_created"] >= world.now() - KEPT_SECONDS
        and one["related_object"]["id"] == given.get("object_id", one["related_object"]["id"])
        and (types is None or one["type"] in types)
        and _is_within(one["created"], given.get("created", {}))
    ]
    limit = lists.limit_of(given)
    start = _start_of(given.get("page", "0"))
    return {
        "data": found[start : start + limit],
        "next_page_url": _page_url(call, start + limit) if len(found) > start + limit else None,
        "previous_page_url": _page_url(call, max(0, start - limit)) if start else None,
    }


def _start_of(mark: object) -> int:
    if not isinstance(mark, str) or not re.fullmatch(r"[0-9]{1,9}", mark):
        raise InvalidRequest("Invalid page", param="page")
    return int(mark)


def _page_url(call: Call, start: int) -> str:
    """Return the address of a page, with what was asked for."""
    pairs = [("page", str(start))]
    for name, value in call.params.items():
        if isinstance(value, list):
            pairs += [(f"{name}[{position}]", one) for position, one in enumerate(value)]
        elif isinstance(value, dict):
            pairs += [(f"{name}[{key}]", one) for key, one in value.items()]
        elif name != "page":
            pairs.append((name, str(value)))
    return f"{call.url}?{urlencode(pairs)}"


_TEXT_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def _is_within(created: str, bounds: dict[str, str]) -> bool:
    """Compare moments as texts, which all have one form."""
    return all(_TEXT_BOUNDS[name](created, at) for name, at in bounds.items())


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/events",
        "EventListParams",
        list_all,
        words("created delivery_success ending_before limit starting_after type types"),
    ),
    Operation("GET", "/v1/events/{id}", "EventRetrieveParams", retrieve),
    Operation(
        "GET",
        "/v2/core/events",
        "v2.core.EventListParams",
        list_thin,
        words("created limit object_id types"),
        opaque=words("page"),
    ),
    Operation("GET", "/v2/core/events/{id}", "v2.core.EventRetrieveParams", retrieve_thin),
)

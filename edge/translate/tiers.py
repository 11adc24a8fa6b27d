"""OpenAI's `service_tier`: some words choose one of our lanes, the others change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate.errors import InvalidType, InvalidValue

LANE_TIERS: Final = frozenset({"flex", "priority", "fast"})
"""Words that choose a lane; the lane's upstreams and prices follow from it."""
PLAIN_TIERS: Final = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
"""Words that mean the upstream's usual price; they go there as they are."""


def service_tier(body: Mapping[str, Any]) -> str | None:
    """Return the word that the client sent.

    Raises:
        InvalidRequest: it is none of those: it could choose a price that no lane of ours has.
    """
    tier = body.get("service_tier")
    if tier is not None and not isinstance(tier, str):
        raise InvalidType("service_tier", "a string")
    if tier is not None and tier not in LANE_TIERS | PLAIN_TIERS:
        raise InvalidValue("service_tier")
    return tier

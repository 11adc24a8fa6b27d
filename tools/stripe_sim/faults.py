"""Faults on order: what goes wrong between a correct Stripe and its caller."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "drop_after_commit",
    "delay",
    "status_500",
    "status_429",
    "status_409",
    "duplicate",
    "reorder",
    "hold_webhooks",
]
ON_REQUESTS: Final = ("delay", "status_429", "status_409", "status_500", "drop_after_commit")
DELAY_SECONDS_MAX: Final = 120.0


class Fault(BaseModel):
    """One fault: what happens, to which requests or events, how often."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    method: str = "*"
    path: str = "*"
    """Shell pattern of the path of a request."""
    event: str = "*"
    """Shell pattern of the type of an event, for the three kinds that concern webhooks."""
    count: int | None = Field(default=None, ge=1)
    """How many times; without it until it is removed."""
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    seconds: float = Field(default=0.0, ge=0, le=DELAY_SECONDS_MAX)
    """How long a delay is, and for how long events gather to be mixed."""
    commits: bool = False
    """Whether a request that is answered with 500 has its effect."""


class Faults:
    """The faults in force, in the order in which they were asked for."""

    def __init__(self) -> None:
        """Start without any."""
        self._active: list[tuple[Fault, random.Random]] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._active.append((fault, random.Random(fault.seed)))  # noqa: S311 - to be repeatable

    def remove(self, kind: str | None = None) -> None:
        """End the faults of a kind, or all."""
        self._active = [] if kind is None else [one for one in self._active if one[0].kind != kind]

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults in force."""
        return [fault.model_dump() for fault, _ in self._active]

    def on_request(self, kind: Kind, method: str, path: str) -> Fault | None:
        """Return the fault of a kind that strikes this request, and use it up."""
        return self._take(
            kind, lambda one: fnmatchcase(method, one.method) and fnmatchcase(path, one.path)
        )

    def on_event(self, kind: Kind, type: str) -> Fault | None:
        """Return the fault of a kind that strikes this event, and use it up."""
        return self._take(kind, lambda one: fnmatchcase(type, one.event))

    def _take(self, kind: str, concerns: Any) -> Fault | None:
        for position, (fault, source) in enumerate(self._active):
            if fault.kind != kind or not concerns(fault):
                continue
            if fault.probability < 1 and source.random() >= fault.probability:
                continue
            struck = fault.model_copy()
            if fault.count is not None:
                fault.count -= 1
                if fault.count == 0:
                    self._active.pop(position)
            return struck
        return None

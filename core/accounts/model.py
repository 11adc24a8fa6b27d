"""What a workspace is, and which steps of its life are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from kit.reasons import InvalidArgument, InvalidState


class WorkspaceState(IntEnum):
    """Whether the workspace's requests are served; the values are those of the contract."""

    ACTIVE = 1
    SUSPENDED = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """What all keys of a workspace together may spend, in nano-US-dollars; 0 means no limit."""

    per_day: int = 0
    per_month: int = 0
    total: int = 0

    def checked(self) -> SpendLimits:
        """Return the limits.

        Raises:
            InvalidArgument: one is below zero.
        """
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise InvalidArgument(fields=f"spend_limits.{name}")
        return self


NO_LIMITS: Final = SpendLimits()


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant. `version` is the change feed's sequence of its last change."""

    workspace_id: bytes
    display_name: str
    state: WorkspaceState
    default_lane: int
    created_at: datetime
    version: int
    requires_zero_retention: bool = False
    """Whether only upstreams that keep nothing may serve its requests."""
    cors_origins: tuple[str, ...] = ()
    """The web origins whose pages may use its keys."""
    spend_limits: SpendLimits = NO_LIMITS


def check_changeable(state: WorkspaceState) -> None:
    """Refuse to change a workspace that is closed for good.

    Raises:
        InvalidState
    """
    if state is WorkspaceState.CLOSED:
        raise InvalidState(state=state.name)


def moved(state: WorkspaceState, target: WorkspaceState) -> WorkspaceState:
    """Return the state after suspending or resuming; repeating a step is allowed.

    Raises:
        InvalidState: the workspace is closed for good.
    """
    check_changeable(state)
    return target

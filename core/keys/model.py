"""What an API key is, and which steps of its life are allowed. Nothing here knows a secret."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from kit.canonical import Canonical
from kit.clock import to_micros
from kit.reasons import InvalidArgument, InvalidState

_ALIAS: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,95}$", re.ASCII)
LANES: Final = range(6)


class KeyState(IntEnum):
    """Where a key stands; the values are those of the contract. EXPIRED is never stored."""

    ACTIVE = 1
    DISABLED = 2
    REVOKED = 3
    EXPIRED = 4


class KeyEventKind(IntEnum):
    """A step of a key's life; the values are those of the contract."""

    CREATED = 1
    UPDATED = 2
    ROTATED = 3
    DISABLED = 4
    ENABLED = 5
    REVOKED = 6
    EXPIRED = 7


class Permission(IntEnum):
    """What a key may do beside asking models; the values are those of the contract."""

    ARCHIVES_DOWNLOAD = 1

    @property
    def word(self) -> str:
        """Return its name as roles and user contexts say it, such as `archives.download`."""
        return self.name.lower().replace("_", ".", 1)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much a key may do; 0 means no limit of its own. Spend is in nano-US-dollars."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_requests: int = 0
    spend_per_day: int = 0
    spend_per_month: int = 0
    spend_total: int = 0

    @property
    def has_spend_limit(self) -> bool:
        """Say whether any of the spend limits applies."""
        return bool(self.spend_per_day or self.spend_per_month or self.spend_total)

    def canonical(self) -> dict[str, Canonical]:
        """Return the content by which a repeated call is compared with the first."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What a key prefers and may do."""

    lane: int = 0
    allowed_models: tuple[str, ...] = ()
    default_model: str = ""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    limits: KeyLimits = KeyLimits()
    expires_at: datetime | None = None
    allowed_networks: tuple[str, ...] = ()
    requires_zero_retention: bool = False
    """Whether only upstreams that keep nothing may serve it, whatever its workspace says."""
    permissions: frozenset[Permission] = frozenset()

    def models(self) -> frozenset[str]:
        """Return every public model id or alias that the settings name."""
        default = {self.default_model} if self.default_model else set()
        return frozenset({*self.allowed_models, *self.model_aliases.values(), *default})

    def canonical(self) -> dict[str, Canonical]:
        """Return the content by which a repeated call is compared with the first."""
        content: dict[str, Canonical] = {
            "lane": self.lane,
            "allowed_models": self.allowed_models,
            "default_model": self.default_model,
            "model_aliases": dict(self.model_aliases),
            "limits": self.limits.canonical(),
            "expires_at": None if self.expires_at is None else to_micros(self.expires_at),
            "allowed_networks": self.allowed_networks,
        }
        # Only where they are set: calls from before there were such settings replay their answers.
        if self.requires_zero_retention:
            content["requires_zero_retention"] = True
        if self.permissions:
            content["permissions"] = sorted(self.permissions)
        return content


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored. `version` is the change feed's sequence of its last change."""

    key_id: bytes
    workspace_id: bytes
    display_name: str
    secret_hint: str
    secret_hash: bytes = field(repr=False)
    pepper_version: int
    previous_secret_hash: bytes | None = field(repr=False)
    previous_secret_expires_at: datetime | None
    stored_state: KeyState
    settings: KeySettings
    created_at: datetime
    version: int

    def state(self, now: datetime) -> KeyState:
        """Return where the key stands: expiry is decided on read, no job is needed for it."""
        if self.stored_state is KeyState.REVOKED:
            return KeyState.REVOKED
        if self.settings.expires_at is not None and self.settings.expires_at <= now:
            return KeyState.EXPIRED
        return self.stored_state

    def previous_secret(self, now: datetime) -> tuple[bytes, datetime] | None:
        """Return the hash of the secret before the last rotation and its end, while it works."""
        end = self.previous_secret_expires_at
        if self.previous_secret_hash is None or end is None or end <= now:
            return None
        return self.previous_secret_hash, end


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One step of a key's life and who took it."""

    key_id: bytes
    version: int
    kind: KeyEventKind
    occurred_at: datetime
    actor: str


def moved(state: KeyState, step: KeyEventKind) -> KeyState:
    """Return the stored state after disabling, enabling or revoking; repeating a step is allowed.

    Raises:
        InvalidState: a revoked key never works again.
    """
    if step is KeyEventKind.REVOKED:
        return KeyState.REVOKED
    check_changeable(state)
    return KeyState.DISABLED if step is KeyEventKind.DISABLED else KeyState.ACTIVE


def check_changeable(state: KeyState) -> None:
    """Refuse to change a revoked key.

    Raises:
        InvalidState: the key is revoked.
    """
    if state is KeyState.REVOKED:
        raise InvalidState(state=state.name)


def checked_settings(settings: KeySettings, now: datetime) -> KeySettings:
    """Return the settings with networks in their usual form.

    Raises:
        InvalidArgument: names the field that is wrong, never its value.
    """
    if settings.lane not in LANES:
        raise InvalidArgument(fields="settings.lane")
    if settings.expires_at is not None and settings.expires_at <= now:
        raise InvalidArgument(fields="settings.expires_at")
    if not all(_ALIAS.match(alias) for alias in settings.model_aliases):
        raise InvalidArgument(fields="settings.model_aliases")
    _check_spend(settings.limits)
    networks = tuple(_network(text) for text in settings.allowed_networks)
    return replace(settings, allowed_networks=networks)


def _check_spend(limits: KeyLimits) -> None:
    for name in ("spend_per_day", "spend_per_month", "spend_total"):
        if getattr(limits, name) < 0:
            raise InvalidArgument(fields=f"settings.limits.{name}")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise InvalidArgument(fields="settings.allowed_networks") from None

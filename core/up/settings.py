"""Settings of `1api up`, from the environment, checked before anything starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, ValidationError

from kit.cli import CommandFailed, Exit, settings_refused
from kit.lockdown import telltales
from kit.settings import ProcessSettings, wrong_variables

HOST: Final = "127.0.0.1"
_MISSING_FOR_PRODUCTION: Final = "mutual TLS between the processes"


class UpSettings(ProcessSettings):
    """What the supervisor needs to know. A port of 0 takes a free one."""

    edge_port: int = Field(default=8080, ge=0, le=65_535)
    core_port: int = Field(default=50_051, ge=0, le=65_535)
    archiver_port: int = Field(default=50_052, ge=0, le=65_535)
    edge_workers: int = Field(default=1, ge=1, le=64)
    scrub: bool = False
    """Whether edges overwrite memory as they free it, for about a fifth more processor time."""
    drain_seconds: int = Field(default=10, ge=0, le=86_400)
    """How long an edge may finish running answers after it was told to stop."""
    retire_seconds: int = Field(default=900, ge=0, le=86_400)
    """The same after another edge has taken its place."""
    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")

    stripe_simulator: bool = True
    """Whether a simulated payment provider is started where no key of a real one is set."""
    stripe_key: SecretStr = SecretStr("")
    stripe_webhook_secrets: SecretStr = SecretStr("")

    @property
    def takes_payments(self) -> bool:
        """Say whether a payment provider is set, and whom to believe its events."""
        wanted = (self.stripe_key, self.stripe_webhook_secrets)
        return all(value.get_secret_value() for value in wanted)

    @property
    def root(self) -> Path:
        """Return the data directory, whatever the working directory of a child may be."""
        return self.data_dir.absolute()


def read_settings() -> UpSettings:
    """Read and check the settings; a mistake ends the command with exit code 78."""
    try:
        settings = UpSettings()
    except ValidationError as mistake:
        raise settings_refused(wrong_variables(mistake)) from None
    if settings.profile == "production":
        _refuse_telltales()
        missing = _MISSING_FOR_PRODUCTION
        if not settings.takes_payments:
            missing += "; ONEAPI_STRIPE_KEY and ONEAPI_STRIPE_WEBHOOK_SECRETS"
        raise CommandFailed(
            f"The production profile is not available yet. Missing: {missing}.",
            code=Exit.SETTINGS,
            reason="PROFILE_INCOMPLETE",
            missing=missing,
        )
    return settings


def _refuse_telltales() -> None:
    names = ", ".join(telltales(os.environ))
    if names:
        raise CommandFailed(
            f"These variables could make content leave a process: {names}. Unset them.",
            code=Exit.SETTINGS,
            reason="ENVIRONMENT_REFUSED",
            variables=names,
        )

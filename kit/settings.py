"""Settings of every process, read once at start from `ONEAPI_…` environment variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kit.log import EventLog

_PREFIX: Final = "ONEAPI_"
PROJECT_ROOT = Path(__file__).resolve().parent.parent


class ProcessSettings(BaseSettings):
    """What edge, core, archiver and the command line have in common."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    profile: Literal["dev", "production"] = "dev"
    data_dir: Path = PROJECT_ROOT / "var"
    core_target: str = "127.0.0.1:50051"
    archiver_target: str = "127.0.0.1:50052"
    credentials: Path | None = None
    test_clock: Path | None = None
    disconnected_seconds: int = Field(default=600, ge=1, le=86_400)
    request_max_seconds: int = Field(default=3_600, ge=1, le=86_400)
    ready_fd: int | None = None
    """Where a supervised process says that it serves; see `kit.process.announce_ready`."""
    shares_port: bool = False
    """Whether a replacement may listen on our gRPC port while it takes our place."""

    @property
    def credentials_file(self) -> Path:
        """Return where the service tokens of the dev profile are."""
        return self.credentials or self.data_dir / "dev" / "credentials.json"


Settings = TypeVar("Settings", bound=ProcessSettings)


def read_or_refuse(kind: type[Settings], log: EventLog) -> Settings:
    """Read a process's settings; if they are wrong, log which ones and end with EX_CONFIG."""
    try:
        return kind()
    except ValidationError as mistake:
        variables = wrong_variables(mistake)
    for variable in variables:
        log.event("settings_refused", variable=variable)
    sys.exit(os.EX_CONFIG)


def read_or_default(kind: type[Settings]) -> Settings:
    """Read settings to look at what they lead to; wrong ones count as not set."""
    try:
        return kind()
    except ValidationError as mistake:
        wrong = {str(part["loc"][0]) for part in mistake.errors() if part["loc"]}
    known = kind.model_fields
    return kind(**{name: known[name].get_default() for name in wrong if name in known})


def wrong_variables(mistake: ValidationError, *, with_missing: bool = True) -> list[str]:
    """Return the names of the variables that were refused, never what they hold."""
    names = {
        str(part["loc"][0])
        for part in mistake.errors(include_input=False, include_context=False)
        if part["loc"] and (with_missing or part["type"] != "missing")
    }
    # One with a name of its own is told by that name, such as DATABASE_URL.
    return sorted(name if name.isupper() else f"{_PREFIX}{name.upper()}" for name in names)

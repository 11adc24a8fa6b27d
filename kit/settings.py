"""Settings of every process, read once at start from `ONEAPI_…` environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class ProcessSettings(BaseSettings):
    """What edge, core, archiver and the command line have in common."""

    model_config = SettingsConfigDict(
        env_prefix="ONEAPI_", extra="ignore", frozen=True, hide_input_in_errors=True
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

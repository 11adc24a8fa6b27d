"""Settings of the archiver."""

from __future__ import annotations

from pydantic import Field

from kit.settings import ProcessSettings


class ArchiverSettings(ProcessSettings):
    """What the archiver is told, beside what all processes are."""

    archiver_port: int = Field(default=50_052, ge=0, le=65_535)

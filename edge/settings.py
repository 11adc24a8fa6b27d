"""Settings of an edge worker."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge.admission.free_models import PER_MINUTE
from kit.settings import ProcessSettings

_MIB = 1024 * 1024


class EdgeSettings(ProcessSettings):
    """What one edge worker is told, beside what all processes are."""

    listen_fd: int | None = None
    edge_port: int = Field(default=8080, ge=0, le=65_535)
    public_origin: str = Field(default="", pattern=r"^(https?://[a-zA-Z0-9.\[\]:-]{1,253})?$")
    """What the public pages tell clients to use, such as `https://api.1api.club`; by default the
    address that this worker listens on."""
    pepper_file: Path | None = None
    max_body_bytes: int = Field(default=32 * _MIB, ge=1_024)
    large_bodies_bytes: int = Field(default=256 * _MIB, ge=1_024)
    max_answer_bytes: int = Field(default=64 * _MIB, ge=1_024)
    spool_max_bytes: int = Field(default=256 * _MIB, ge=8 * _MIB)
    keepalive_seconds: float = Field(default=5.0, gt=0)
    min_take_bytes_per_second: int = Field(default=4_096, ge=0, le=_MIB)
    """The least rate of a client that is behind with taking its answer; 0: any progress will do."""
    free_requests_per_minute: int = Field(default=PER_MINUTE, ge=0)
    """To models whose price is zero, of each workspace; 0: any number."""
    drain_seconds: int = Field(default=900, ge=0)
    """How long running answers may take to end once this worker was told to stop."""
    retire_seconds: int = Field(default=900, ge=0)
    """The same once another worker has taken its place."""
    upstream_connections: int = Field(default=2_000, ge=1)

    @property
    def peppers(self) -> Path:
        """Return the file with the peppers of key hashes, by version."""
        return self.pepper_file or self.data_dir / "keys" / "pepper.json"

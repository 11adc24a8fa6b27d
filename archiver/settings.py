"""Settings of the archiver."""

from __future__ import annotations

from pydantic import Field, SecretStr

from kit.settings import ProcessSettings


class ArchiverSettings(ProcessSettings):
    """What the archiver is told, beside what all processes are."""

    archiver_port: int = Field(default=50_052, ge=0, le=65_535)
    archiver_metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Where the metrics are, on the loopback interface; 0: nowhere."""
    archive_store: str = Field(default="", max_length=1_024)
    """`s3://bucket/prefix`, `gs://…`, `az://…`, `file:///folder`; empty: `<data dir>/archive`."""
    archive_store_local_allowed: bool = False
    """Whether production may keep its archive in a local folder."""
    archive_store_plain_http: bool = False
    """Whether the store may be reached without TLS."""
    archive_s3_endpoint: str = Field(default="", max_length=1_024)
    archive_s3_region: str = Field(default="", max_length=64)
    archive_s3_access_key_id: str = Field(default="", max_length=256)
    archive_s3_secret_access_key: SecretStr = SecretStr("")

"""Settings of core."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from core.billing.settings import BillingSettings
from core.ledger.settings import LedgerSettings


class CoreSettings(BillingSettings, LedgerSettings):
    """What core is told, beside what all processes are."""

    database_url: str = Field(validation_alias="DATABASE_URL", repr=False)
    core_port: int = Field(default=50_051, ge=0, le=65_535)
    pepper_file: Path | None = None
    key_encryption_file: Path | None = None
    platform_key_file: Path | None = None
    demo_base_url: str | None = None

    @property
    def peppers(self) -> Path:
        """Return the file with the peppers of key hashes, by version."""
        return self.pepper_file or self.data_dir / "keys" / "pepper.json"

    @property
    def key_encryption_keys(self) -> Path:
        """Return the file with the keys that seal provider credentials, by version."""
        return self.key_encryption_file or self.data_dir / "keys" / "kek.json"

    @property
    def platform_key(self) -> Path:
        """Return the file with the key that signs receipts and roots, and those before it."""
        return self.platform_key_file or self.data_dir / "keys" / "platform.json"

    @property
    def example_file(self) -> Path:
        """Return where the dev profile's example workspace and key are written."""
        return self.data_dir / "dev" / "example.json"

"""What core is told about mail."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from kit.settings import ProcessSettings


class MailSettings(ProcessSettings):
    """Where mail goes: to a server over TLS, or without one into files."""

    mail_from: str = Field(default="1API Club <billing@1api.club>", max_length=254)
    smtp_host: str = Field(default="", pattern=r"^[a-zA-Z0-9.-]{0,253}$")
    smtp_port: int = Field(default=465, ge=1, le=65_535)
    """465 speaks TLS at once (RFC 8314), any other port after STARTTLS."""
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")

    @property
    def sends_mail(self) -> bool:
        """Say whether mail leaves this machine."""
        return bool(self.smtp_host)

    @property
    def mail_folder(self) -> Path:
        """Return where mail is kept that goes nowhere else."""
        return self.data_dir / "mail"

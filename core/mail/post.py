"""Sends letters: over SMTP by the standard library, or into files where no server is set."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol

from core.mail.settings import MailSettings
from kit.files import write_private

SMTP_SECONDS_MAX: Final = 20.0
_TLS_AT_ONCE: Final = 465


class NotSent(Exception):
    """A letter could not be handed over; it may be tried again."""


class Post(Protocol):
    """Where letters go."""

    async def send(self, name: str, message: EmailMessage) -> None:
        """Hand a letter over. Raises NotSent."""


class FilePost:
    """Keeps letters as `.eml` files: the outbox of the dev profile."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the first letter."""
        self._folder = folder

    async def send(self, name: str, message: EmailMessage) -> None:
        """Write the letter; the same one again replaces it."""
        try:
            await asyncio.to_thread(self._write, f"{name}.eml", message.as_bytes())
        except OSError:
            raise NotSent from None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / name, content)


class SmtpPost:
    """Hands letters to a mail server, over TLS only."""

    def __init__(self, settings: MailSettings) -> None:
        """Take the server's address and our name there."""
        self._settings = settings

    async def send(self, name: str, message: EmailMessage) -> None:
        """Hand the letter over; `name` is in its Message-ID, by which a second one is known."""
        del name
        try:
            await asyncio.to_thread(self._send, message)
        except (OSError, smtplib.SMTPException):
            raise NotSent from None

    def _send(self, message: EmailMessage) -> None:
        settings, context = self._settings, ssl.create_default_context()
        where = (settings.smtp_host, settings.smtp_port)
        server: smtplib.SMTP
        if settings.smtp_port == _TLS_AT_ONCE:
            server = smtplib.SMTP_SSL(*where, timeout=SMTP_SECONDS_MAX, context=context)
        else:
            server = smtplib.SMTP(*where, timeout=SMTP_SECONDS_MAX)
        with server:
            if settings.smtp_port != _TLS_AT_ONCE:
                server.starttls(context=context)
            if settings.smtp_user:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(message)


def post_of(settings: MailSettings) -> Post:
    """Return where the settings let letters go."""
    return SmtpPost(settings) if settings.sends_mail else FilePost(settings.mail_folder)

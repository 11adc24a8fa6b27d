"""`python -m core`: the core process."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

from core.app import serve
from core.settings import CoreSettings
from kit.lockdown import lock_down, refuses_to_start
from kit.log import EventLog
from kit.settings import read_or_refuse

EXIT_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h: starting again cannot help."""


def main() -> int:
    """Run core; a fault is logged by its type and place, never by its text."""
    log = EventLog("core")
    lock_down(log)
    settings = read_or_refuse(CoreSettings, log)
    if refuses_to_start(log, os.environ, settings.profile):
        return EXIT_SETTINGS
    if settings.profile == "production":
        for missing in _missing(settings):
            log.event("profile_incomplete", missing=missing)
        return EXIT_SETTINGS
    try:
        asyncio.run(serve(settings))
    except Exception as fault:  # noqa: BLE001 the boundary: its text may quote a row
        log.fault("core_failed", fault)
        return 1
    return 0


def _missing(settings: CoreSettings) -> list[str]:
    """Return what production still lacks; tokens on loopback protect nothing between machines."""
    missing = ["mutual_tls"]
    if not settings.takes_payments:
        missing.append("stripe_key")
    if not settings.names_a_seller:
        missing.append("seller")
    if not settings.sends_mail:
        missing.append("smtp_host")
    # Made anew, they would open no key, seal or signature that was made before: they are brought.
    secrets = {
        "pepper_file": settings.peppers,
        "key_encryption_file": settings.key_encryption_keys,
        "platform_key_file": settings.platform_key,
    }
    return missing + [name for name, path in secrets.items() if not path.is_file()]


if __name__ == "__main__":
    sys.exit(main())

"""`python -m archiver`: the archiver process."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

from archiver.settings import ArchiverSettings
from archiver.store.opening import StoreNotConfigured
from kit.lockdown import lock_down, refuses_to_start
from kit.log import EventLog
from kit.settings import read_or_refuse

_ALLOCATOR: Final = "jemalloc"
"""Gives freed row groups back to the system; the usual one keeps a hundred megabytes of them."""


def main() -> int:
    """Run the archiver; a fault is logged by its type and place, never by its text."""
    log = EventLog("archiver")
    lock_down(log)
    settings = read_or_refuse(ArchiverSettings, log)
    if refuses_to_start(log, os.environ, settings.profile):
        return os.EX_CONFIG
    # Read when Arrow is loaded, and never again.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", _ALLOCATOR)
    from archiver.app import serve  # noqa: PLC0415

    try:
        asyncio.run(serve(settings))
    except StoreNotConfigured:
        log.event("settings_refused", variable="ONEAPI_ARCHIVE_STORE")
        return os.EX_CONFIG
    except Exception as fault:  # noqa: BLE001 the boundary
        log.fault("archiver_failed", fault)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

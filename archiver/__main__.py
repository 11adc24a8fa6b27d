"""`python -m archiver`: the archiver process."""

from __future__ import annotations

import asyncio
import sys

from archiver.app import serve
from archiver.settings import ArchiverSettings
from kit.log import EventLog, silence_libraries


def main() -> int:
    """Run the archiver; a fault is logged by its type and place, never by its text."""
    silence_libraries()
    try:
        asyncio.run(serve(ArchiverSettings()))
    except Exception as fault:  # noqa: BLE001 the boundary
        EventLog("archiver").fault("archiver_failed", fault)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

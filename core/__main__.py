"""`python -m core`: the core process."""

from __future__ import annotations

import asyncio

from core.app import serve
from core.settings import CoreSettings
from kit.log import silence_libraries


def main() -> None:
    """Run core."""
    silence_libraries()
    asyncio.run(serve(CoreSettings()))


if __name__ == "__main__":
    main()

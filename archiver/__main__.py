"""`python -m archiver`: the archiver process."""

from __future__ import annotations

import asyncio

from archiver.app import serve
from archiver.settings import ArchiverSettings
from kit.log import silence_libraries


def main() -> None:
    """Run the archiver."""
    silence_libraries()
    asyncio.run(serve(ArchiverSettings()))


if __name__ == "__main__":
    main()

"""Reads months whole, many rows in two processes side by side, each with a core of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Self, TypeVar

from archiver.settings import ArchiverSettings
from archiver.store.objects import Stored
from archiver.store.opening import open_store
from core.db.database import Database
from core.metering.usage_rpc import usage_service
from core.platform_key import load_or_make_platform_key
from kit.clock import SystemClock
from tests.chaos.archive.fingerprint import Fingerprint
from tests.chaos.archive.lines import Lines, answer, told
from tests.chaos.archive.shelves import HotShelf, Proved, Prover
from tests.support.core_server import calling, serving

PROCESSES = 2
OWNERS_IN_SHARE = 16
Share = TypeVar("Share")


class Reader:
    """Reads in this process."""

    def __init__(self, hot: HotShelf, prover: Prover) -> None:
        """Read with these."""
        self._hot = hot
        self._prover = prover

    async def listed(self, month: date, owners: Sequence[bytes]) -> Fingerprint:
        """Return what workspaces can list of a month."""
        return await self._hot.month(month, owners)

    async def prove(self, names: Sequence[str]) -> dict[str, Proved]:
        """Prove what manifests say, and return what they hold."""
        return {name: await self._prover.prove(name) for name in names}


class Readers:
    """The same in two processes: a share is a few workspaces; who is through takes the next."""

    def __init__(self, processes: Sequence[Lines]) -> None:
        """Take processes that run; `Readers.start` makes them."""
        self._processes = processes

    @classmethod
    async def start(cls, dsn: str, folder: Path) -> Self:
        """Start the processes: they read a database, and a store in a folder."""
        return cls(
            [
                await Lines.start(__name__, dsn=dsn, folder=str(folder), number=number)
                for number in range(PROCESSES)
            ]
        )

    async def listed(self, month: date, owners: Sequence[bytes]) -> Fingerprint:
        """Return what these workspaces can list of a month, the largest one first."""
        orders = [
            {"month": month.isoformat(), "owners": [owner.hex() for owner in share]}
            for share in _shares(owners)
        ]
        found = Fingerprint()
        for each in await self._all(orders):
            found += Fingerprint(**each)
        return found

    async def prove(self, names: Sequence[str]) -> dict[str, Proved]:
        """Prove what manifests say, of the largest workspace first, and return what they hold."""
        found = await self._all([{"manifests": share} for share in _shares(names)])
        return {
            name: Proved(
                Fingerprint(**records),
                {file: Stored(size, bytes.fromhex(sha256)) for file, size, sha256 in files},
            )
            for each in found
            for name, records, files in each
        }

    async def stop(self) -> None:
        """Let the processes end."""
        for process in self._processes:
            await process.stop()

    async def _all(self, orders: Sequence[Any]) -> list[Any]:
        waiting, found = iter(orders), list[Any]()

        async def keep_busy(process: Lines) -> None:
            for order in waiting:
                process.tell(order)
                found.append(await process.heard())

        async with asyncio.TaskGroup() as tasks:
            for process in self._processes:
                tasks.create_task(keep_busy(process))
        return found


def _shares(items: Sequence[Share]) -> list[Sequence[Share]]:
    """Cut the first one off, which has half of everything, and then a few at a time."""
    rest = items[1:]
    starts = range(0, len(rest), OWNERS_IN_SHARE)
    few = [rest[start : start + OWNERS_IN_SHARE] for start in starts]
    return [items[:1], *few] if items else []


async def _main() -> None:
    orders = told()
    words: dict[str, Any] = await anext(orders)
    folder = Path(words["folder"])
    key = load_or_make_platform_key(folder / "keys" / "platform.json")
    store = open_store(ArchiverSettings(data_dir=folder))
    prover = Prover(store, key, folder / f"proved-{words['number']}")
    database = Database.connect(words["dsn"])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        usage = usage_service(database.jobs, SystemClock())
        port = await stack.enter_async_context(serving([usage]))
        hot = HotShelf(await stack.enter_async_context(calling(port)))
        reader = Reader(hot, prover)
        async for order in orders:
            answer(await _answer(reader, order))


async def _answer(reader: Reader, order: dict[str, Any]) -> Any:
    if "manifests" not in order:
        owners = [bytes.fromhex(owner) for owner in order["owners"]]
        return asdict(await reader.listed(date.fromisoformat(order["month"]), owners))
    return [
        (name, asdict(proved.records), _words_of(proved.files))
        for name, proved in (await reader.prove(order["manifests"])).items()
    ]


def _words_of(files: Mapping[str, Stored]) -> list[tuple[str, int, str]]:
    return [(name, file.size_bytes, file.sha256.hex()) for name, file in files.items()]


if __name__ == "__main__":
    asyncio.run(_main())

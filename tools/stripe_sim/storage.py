"""The whole account as one JSON file, written at every change, so that a restart keeps it."""

from __future__ import annotations

import json
from pathlib import Path

from tools.stripe_sim.delivery import Deliveries
from tools.stripe_sim.errors import Json
from tools.stripe_sim.idempotency import Keys
from tools.stripe_sim.world import World


class Storage:
    """Reads the file at the start and writes it anew; without a path does neither."""

    def __init__(self, path: Path | None, world: World, keys: Keys, deliveries: Deliveries) -> None:
        """Take what is to be kept."""
        self._path = path
        self._world = world
        self._keys = keys
        self._deliveries = deliveries

    def load(self) -> None:
        """Read what an earlier process wrote.

        Raises:
            OSError, ValueError: the file is there and is not ours.
        """
        if self._path is None or not self._path.exists():
            return
        kept: Json = json.loads(self._path.read_text())
        self._world.clock.offset_seconds = kept["offset_seconds"]
        for kind, table in kept["tables"].items():
            self._world.tables[kind].update(table)
        self._keys.load(kept["keys"])
        self._deliveries.load(kept["deliveries"])

    def save(self) -> None:
        """Write everything beside the file and put it in its place."""
        if self._path is None:
            return
        kept = {
            "offset_seconds": self._world.clock.offset_seconds,
            "tables": self._world.tables,
            "keys": self._keys.dump(),
            "deliveries": self._deliveries.dump(),
        }
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.write_text(json.dumps(kept))
        beside.replace(self._path)

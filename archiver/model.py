"""What the archiver's parts hand to each other: values without behaviour of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from archiver.calendar import format_month
from kit.charge import PriceTier
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

GENERATOR: Final = "1"
"""Changes when the same records would give other bytes."""
_DIGITS: Final = 16
FOCUS_VERSION: Final = "1.2"
DELETIONS: Final = "deletion/"
"""Where the records of deleted files are; these stay."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What rows add up to: counts, sums in nano-dollars, and the hash of the ids in their order."""

    records: int
    first_id: bytes
    last_id: bytes
    ids_hash: bytes
    quantities: tuple[int, ...]
    charge_nanos: int
    waived_nanos: int


class Draft(NamedTuple):
    """A file that was written here and is not stored yet."""

    kind: ArchiveFile.Kind.ValueType
    path: Path
    rows: int
    sha256: bytes
    size_bytes: int
    root: bytes | None = None
    """Over the leaves of a file of settlements."""


class Settlement(NamedTuple):
    """A settlement as a file of them names it; `hash` is empty where it is in no wallet's log."""

    transaction_id: str
    sequence: int
    hash: bytes
    records_root: bytes
    record_count: int


@dataclass(frozen=True, slots=True)
class CountedMonth:
    """What core counts for one workspace: totals, the ledger's charges, and the settlements.

    A month may have as many settlements as records: they are in a file, None if there are none.
    """

    workspace_id: bytes
    totals: Totals
    ledger_charge_nanos: int
    settlements: Draft | None = None


class CountedPart(NamedTuple):
    """One message of what core counts; of a workspace there may be several, one behind the other.

    All have settlements, only the first one has the rest.
    """

    month: CountedMonth
    settlements: Sequence[Settlement]


class Part(NamedTuple):
    """A stored file that a manifest names; usage files have totals, files of settlements a root."""

    kind: ArchiveFile.Kind.ValueType
    name: str
    size_bytes: int
    rows: int
    sha256: bytes
    totals: Totals | None
    root: bytes | None = None


class Step(NamedTuple):
    """How far a step of a month is; rows in all are 0 where not known."""

    month: str
    name: str
    rows_done: int = 0
    rows_total: int = 0
    done: bool = False


Tell = Callable[[Step], None]
"""Is told of each step when it begins, goes on and ends."""


class CostFiles(Protocol):
    """Writes the cost and usage files of a workspace's month, in the FOCUS format."""

    def know(self, tiers: Mapping[int, tuple[PriceTier, ...]]) -> None:
        """Remember the tiers of price versions, by their numbers, for what is written next."""

    def write(
        self, workspace_id: bytes, month: date, usage: list[Path], billing: Any, folder: Path
    ) -> list[Draft]:
        """Return files written into the folder.

        `usage` are the month's usage files, `billing` an Arrow table of the workspace's rows of
        `ExportBilling`, perhaps of none.
        """


class NoCostFiles:
    """Writes none."""

    def know(self, tiers: Mapping[int, tuple[PriceTier, ...]]) -> None:
        """Need none."""

    def write(
        self, workspace_id: bytes, month: date, usage: list[Path], billing: Any, folder: Path
    ) -> list[Draft]:
        """Return nothing."""
        del workspace_id, month, usage, billing, folder
        return []


def usage_name(workspace_id: bytes, month: date, part: int, sha256: bytes) -> str:
    """Return the name of a usage file."""
    return f"usage/v1/{_place(workspace_id, month)}/part-{part:04d}-{_short(sha256)}.parquet"


def focus_name(workspace_id: bytes, month: date, end: str, sha256: bytes) -> str:
    """Return the name of a cost file; `end` is `parquet` or `csv.gz`."""
    place = _place(workspace_id, month)
    return f"focus/v{FOCUS_VERSION}/{place}/cost-and-usage-{_short(sha256)}.{end}"


def settlements_name(workspace_id: bytes, month: date, part: int, sha256: bytes) -> str:
    """Return the name of a file of settlements."""
    return f"settlements/v1/{_place(workspace_id, month)}/part-{part:04d}-{_short(sha256)}.parquet"


def manifest_name(workspace_id: bytes, month: date, revision: int) -> str:
    """Return the name of a manifest."""
    return f"manifest/{_place(workspace_id, month)}/r{revision:04d}.json"


def ids_name(month: date, revision: int, sha256: bytes) -> str:
    """Return the name of the sorted ids of a month."""
    return f"ids/month={format_month(month)}/r{revision:04d}-{_short(sha256)}.ids"


def deletion_name(month: date, reason: str) -> str:
    """Return the name of the record that a month's files were deleted."""
    return f"{DELETIONS}month={format_month(month)}/{reason}.json"


def personal_folders(workspace_id: bytes, month: date) -> list[str]:
    """Return where those files of a workspace's month are that have keys' ids."""
    place = _place(workspace_id, month)
    return [f"usage/v1/{place}", f"focus/v{FOCUS_VERSION}/{place}"]


def _place(workspace_id: bytes, month: date) -> str:
    return f"workspace={uuid.UUID(bytes=workspace_id)}/month={format_month(month)}"


def _short(sha256: bytes) -> str:
    return sha256.hex()[:_DIGITS]

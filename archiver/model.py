"""What the archiver's parts hand to each other: values without behaviour of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
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


class Settlement(NamedTuple):
    """A settlement as the manifest names it."""

    transaction_id: str
    sequence: int
    hash: bytes
    records_root: bytes
    record_count: int


class Part(NamedTuple):
    """A stored file that a manifest names; only usage files have totals."""

    kind: ArchiveFile.Kind.ValueType
    name: str
    size_bytes: int
    rows: int
    sha256: bytes
    totals: Totals | None


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


def manifest_name(workspace_id: bytes, month: date, revision: int) -> str:
    """Return the name of a manifest."""
    return f"manifest/{_place(workspace_id, month)}/r{revision:04d}.json"


def ids_name(month: date, revision: int, sha256: bytes) -> str:
    """Return the name of the sorted ids of a month."""
    return f"ids/month={format_month(month)}/r{revision:04d}-{_short(sha256)}.ids"


def deletion_name(month: date, reason: str) -> str:
    """Return the name of the record that a month's files were deleted."""
    return f"deletion/month={format_month(month)}/{reason}.json"


def month_folders(workspaces: Iterable[bytes], month: date) -> list[str]:
    """Return where all files of a month are, those of these workspaces and those over all."""
    roots = ("usage/v1", f"focus/v{FOCUS_VERSION}", "manifest")
    places = [_place(workspace_id, month) for workspace_id in workspaces]
    return [f"ids/month={format_month(month)}", *(f"{r}/{p}" for p in places for r in roots)]


def _place(workspace_id: bytes, month: date) -> str:
    return f"workspace={uuid.UUID(bytes=workspace_id)}/month={format_month(month)}"


def _short(sha256: bytes) -> str:
    return sha256.hex()[:_DIGITS]

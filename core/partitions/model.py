"""Months and their totals: pure values, and the rules by which a month moves on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final

from core.metering.model import add_months
from kit.charge import NOTHING, Quantities
from kit.reasons import InvalidArgument

HOT_DAYS: Final = 90
"""A month stays hot until all of it is older."""
DROP_AFTER: Final = timedelta(hours=24)
"""Rows are removed this long after their files were published, and after a second check."""
KEPT_MONTHS: Final = 24
"""Files are kept this long after publication."""


class State(IntEnum):
    """How far a month is; the numbers are those of the proto."""

    HOT = 1
    ELIGIBLE = 2
    FROZEN = 3
    PUBLISHED = 4
    DETACHED = 5
    DROPPED = 6
    EXPIRED = 7
    EXPIRING = 8
    """Between dropped and expired: two years are over, and its files are to be deleted."""


class Reason(IntEnum):
    """Why there is a revision; the numbers are those of the proto."""

    INITIAL = 1
    LATE = 2
    ERASURE = 3


class FileKind(IntEnum):
    """What is in a file; the numbers are those of the proto."""

    USAGE_PARQUET = 1
    FOCUS_PARQUET = 2
    FOCUS_CSV = 3
    MANIFEST = 4
    IDS = 5
    SETTLEMENTS_PARQUET = 6


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """What is so about a month: what was written down, and where its partition is."""

    month: date
    exists: bool
    attached: bool
    detaching: bool
    frozen_at: datetime | None = None
    published_at: datetime | None = None
    detached_at: datetime | None = None
    dropped_at: datetime | None = None
    expired_at: datetime | None = None
    revision: int = 0
    records: int = 0
    late_records: int = 0
    late_kept_since: datetime | None = None
    """Since when late records are in files whose rows are still here, of the first of them."""
    empty: bool = False
    """Nothing was used, bought, given or paid back in it, and it is not frozen."""

    def state(self, now: datetime) -> State:
        """Return how far the month is."""
        if self.expired_at is not None:
            return State.EXPIRED
        if self.dropped_at is not None:
            return State.EXPIRING if self._is_over(now) else State.DROPPED
        if self.published_at is not None:
            # A detach is done once it is written down. One that was cut off hides the rows, and may
            # even have ended, but nobody knows of it: it is asked for again.
            is_done = self.detached_at is not None and not self.attached
            return State.DETACHED if is_done else State.PUBLISHED
        if self.frozen_at is not None:
            return State.FROZEN
        return State.ELIGIBLE if now >= eligible_at(self.month) else State.HOT

    def _is_over(self, now: datetime) -> bool:
        return self.published_at is not None and now >= expires_at(self.published_at)


@dataclass(frozen=True, slots=True)
class Totals:
    """What records of one workspace add up to. `ids_hash` is over all ids in their order."""

    workspace_id: bytes
    records: int = 0
    first_id: bytes = b""
    last_id: bytes = b""
    ids_hash: bytes = b""
    quantities: Quantities = NOTHING
    charges: int = 0
    waived: int = 0
    ledger_records: int = 0
    ledger_charges: int = 0

    def disagrees_with_ledger(self) -> Sequence[str]:
        """Return which of the ledger's figures differ from those of the records."""
        pairs = {
            "ledger_records": (self.records, self.ledger_records),
            "ledger_charges": (self.charges, self.ledger_charges),
        }
        return [name for name, (ours, theirs) in pairs.items() if ours != theirs]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the archive. `workspace_id` is None for one over all workspaces."""

    name: str
    kind: FileKind
    workspace_id: bytes | None
    revision: int
    size_bytes: int
    rows: int
    sha256: bytes
    charges: int

    @property
    def content(self) -> tuple[str, int, bytes]:
        """Return what a second look at the store must find again."""
        return (self.name, self.size_bytes, self.sha256)


COMPARED: Final = (
    "records",
    "first_id",
    "last_id",
    "ids_hash",
    "quantities",
    "charges",
    "waived",
)
SUMMED: Final = ("records", "quantities", "charges", "waived")


def differences(expected: Totals, found: Totals, names: Sequence[str] = COMPARED) -> list[str]:
    """Return the names of the figures that differ."""
    return [name for name in names if getattr(expected, name) != getattr(found, name)]


def together(before: Totals, added: Totals) -> Totals:
    """Return the sums of two sets of records; their ids have to be hashed anew."""
    return Totals(
        workspace_id=before.workspace_id,
        records=before.records + added.records,
        quantities=tuple(
            one + other for one, other in zip(before.quantities, added.quantities, strict=True)
        ),
        charges=before.charges + added.charges,
        waived=before.waived + added.waived,
    )


def eligible_at(month: date) -> datetime:
    """Return when all of a month is older than the days that it stays hot."""
    end = add_months(month, 1)
    return datetime(end.year, end.month, end.day, tzinfo=UTC) + timedelta(days=HOT_DAYS)


def expires_at(published_at: datetime) -> datetime:
    """Return when the files of a month are to be deleted.

    The same day two years later; the 29th of February becomes the 1st of March.
    """
    month = add_months(published_at.date().replace(day=1), KEPT_MONTHS)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    midnight = published_at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start + (published_at - midnight)


def month_name(month: date) -> str:
    """Return a month's outside form, such as `2026-08`."""
    return f"{month:%Y-%m}"


def parse_month(text: str) -> date:
    """Return the first day of a month.

    Raises:
        InvalidArgument: there is no such month.
    """
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise InvalidArgument(fields="month") from None

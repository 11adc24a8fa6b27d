"""Statements as values: movements by section, which lead from one balance to the next.

Amounts are nano-dollars in the workspace's favour: credit that came or debt that went is above
zero. What only moves credit between its accounts (leases, freezes) has no amount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from typing import Final

LINES_MAX: Final = 10_000
"""Movements that are told one by one; sums are of all."""


class Section(IntEnum):
    """Kinds of movements; the numbers are those of the proto."""

    PURCHASES = 1
    GRANTS = 2
    USAGE = 3
    CORRECTIONS = 4
    REFUNDS = 5
    DISPUTES = 6
    EXPIRY = 7
    DEBT = 8
    OTHER = 9


LEASES: Final = frozenset({"lease_grant", "lease_return", "lease_close"})
"""They move credit between accounts of the wallet, thousands of times: no line, no section."""
SECTIONS: Final[Mapping[str, Section]] = {
    "paid_grant": Section.PURCHASES,
    "promo_grant": Section.GRANTS,
    "goodwill_grant": Section.GRANTS,
    "settle": Section.USAGE,
    "correction": Section.CORRECTIONS,
    "refund_reserve": Section.REFUNDS,
    "refund_release": Section.REFUNDS,
    "refund_sent": Section.REFUNDS,
    "refund_returned": Section.REFUNDS,
    "refund_clawback": Section.REFUNDS,
    "refund_clawback_returned": Section.REFUNDS,
    "dispute_freeze": Section.DISPUTES,
    "dispute_thaw": Section.DISPUTES,
    "dispute_lost": Section.DISPUTES,
    "grant_expiry": Section.EXPIRY,
    "debt_repayment": Section.DEBT,
    "debt_write_off": Section.DEBT,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a wallet stood: its credit and debt at a link of its chain."""

    total: int
    debt: int
    sequence: int
    head_hash: bytes

    @property
    def net(self) -> int:
        """Return credit less debt."""
        return self.total - self.debt


@dataclass(frozen=True, slots=True)
class KindSum:
    """All movements of a kind: how many, and what they come to."""

    kind: str
    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Line:
    """One movement, with the legal number of the document about it, if there is one."""

    posted_at: datetime
    section: Section
    kind: str
    txn_id: bytes
    amount: int
    document: str


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Charges of one day and model; without a model those whose records are archived."""

    day: date
    model: str
    requests: int
    charge: int


@dataclass(frozen=True, slots=True)
class SectionSum:
    """The sum of a section."""

    section: Section
    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What happened to a workspace's credit in a month."""

    workspace_id: bytes
    month: date
    opening: Standing
    closing: Standing
    sums: tuple[SectionSum, ...]
    lines: tuple[Line, ...]
    omitted_lines: int
    usage: tuple[DayUsage, ...]

    @property
    def adds_up(self) -> bool:
        """Say whether three sources agree: the chain's balances, the entries, the records."""
        by_section = {each.section: each.amount for each in self.sums}
        moved = sum(by_section.values())
        used = sum(each.charge for each in self.usage)
        return (
            self.opening.net + moved == self.closing.net
            and by_section.get(Section.USAGE, 0) == -used
        )


def month_of(text: str) -> date:
    """Return the first day of a month such as `2026-11`.

    Raises:
        ValueError: no such month.
    """
    return date.fromisoformat(f"{text}-01")


def start_of(month: date) -> datetime:
    """Return the moment (UTC) when a month begins."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def section_of(kind: str) -> Section:
    """Return the section of a kind of transaction."""
    return SECTIONS.get(kind, Section.OTHER)


def sums_of(kinds: Sequence[KindSum]) -> tuple[SectionSum, ...]:
    """Return the sums of the sections that have movements."""
    found: dict[Section, SectionSum] = {}
    for each in kinds:
        if each.kind in LEASES and each.amount == 0:
            continue
        section = section_of(each.kind)
        before = found.get(section, SectionSum(section, 0, 0))
        found[section] = SectionSum(section, before.count + each.count, before.amount + each.amount)
    return tuple(found[section] for section in sorted(found))


def with_the_rest(charged: Mapping[date, int], listed: Sequence[DayUsage]) -> tuple[DayUsage, ...]:
    """Return usage by day and model, and what records that are not hot any more were charged.

    `charged` is what the ledger's entries say of each day.
    """
    rest = dict(charged)
    for each in listed:
        rest[each.day] = rest.get(each.day, 0) - each.charge
    unlisted = [DayUsage(day, "", 0, amount) for day, amount in rest.items() if amount > 0]
    return tuple(sorted([*listed, *unlisted], key=lambda each: (each.day, each.model)))

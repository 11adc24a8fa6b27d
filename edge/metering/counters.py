"""What a worker's metering has counted since it started; shared by spool, shipper and adopter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class SpoolState(IntEnum):
    """Whether the spool takes requests."""

    OPEN = 0
    FAILED = 1
    CLOSED = 2


@dataclass(slots=True)
class Counters:
    """Totals; they only grow."""

    shipped: int = 0
    rejected: int = 0
    quarantined: int = 0
    not_kept: int = 0
    """Of the quarantined, those whose copy found no room."""
    lost: int = 0
    segments_cut: int = 0
    files_astray: int = 0
    reported_directly: int = 0
    not_durable: int = 0
    checkpoints_skipped: int = 0
    intents_carried: int = 0
    streams_broken: int = 0
    epochs_adopted: int = 0
    crashes_resolved: int = 0


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """The spool at one moment. Sequences count frames of this epoch from 1."""

    state: SpoolState
    appended: int
    durable: int
    acked: int
    open_intents: int
    bytes: int
    max_bytes: int
    quarantined: int
    lost: int

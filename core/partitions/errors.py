"""Error situations of the archive's steps.

InvalidState
├── ArchiveLeaseLost       another archiver has the lease
├── MonthNotReady          the month's state does not allow the step
└── ArchiveDiffers         files or totals are not what the hot store and the ledger say
"""

from __future__ import annotations

from kit.reasons import InvalidState


class ArchiveLeaseLost(InvalidState):
    """Another archiver has taken the archive's lease."""


class MonthNotReady(InvalidState):
    """The month's state does not allow this step of the archive."""


class ArchiveDiffers(InvalidState):
    """Files or totals are not what the hot store and the ledger say."""

"""Situations in which a request's outcome cannot be kept.

Unavailable (kit)
├── SpoolFull           the spool's size cap or the disk leaves no room for another request
├── SpoolUnavailable    the spool's disk failed, or the spool is closed
└── OutcomeNotDurable   neither disk nor core took the outcome of a running request
"""

from __future__ import annotations

from kit.reasons import Unavailable


class SpoolFull(Unavailable):
    """The spool has no room for another request."""


class SpoolUnavailable(Unavailable):
    """The spool takes no new requests."""


class OutcomeNotDurable(Unavailable):
    """The request's outcome could not be made durable."""


class InvalidRecordError(ValueError):
    """An id, a quantity or an amount does not fit its field: a fault of the caller."""


class SpoolInUse(RuntimeError):
    """No slot is free, or the epoch already has a spool."""

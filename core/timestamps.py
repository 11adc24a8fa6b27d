"""Moments between our aware datetimes and protobuf timestamps, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp

from kit.clock import to_micros


@overload
def to_timestamp(moment: datetime) -> Timestamp: ...
@overload
def to_timestamp(moment: None) -> None: ...
def to_timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment as a timestamp; None stays unset."""
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def from_timestamp(timestamp: Timestamp) -> datetime:
    """Return a timestamp as an aware UTC datetime."""
    return timestamp.ToDatetime(tzinfo=UTC)


def to_micros_or_zero(moment: datetime | None) -> int:
    """Return microseconds since 1970 (UTC), 0 for no moment."""
    return 0 if moment is None else to_micros(moment)

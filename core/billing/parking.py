"""What an event is about may not be known yet: then the event waits and comes again."""

from __future__ import annotations

from kit.reasons import DomainError
from oneapi.common.v1.error_reason_pb2 import ErrorReason


class NotKnownYet(DomainError):
    """What this is about is not known yet."""

    reason = ErrorReason.ERROR_REASON_UNAVAILABLE

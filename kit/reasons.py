"""Error situations of our services: a class each, with typed attributes and a reason.

    DomainError
    ├── InvalidArgument            a field is missing or malformed
    ├── Unauthenticated            the caller did not identify itself
    ├── CallerNotAllowed           the caller may not use this method
    ├── NotFound                   no such object
    ├── AlreadyExists              an object of that name exists
    ├── InvalidState               the object's state does not allow the change
    ├── RequestIdReused            same request id, other content
    ├── InsufficientCredits        available and held credit do not cover the hold
    ├── CreditInUse                other holds or leases still stand
    ├── WorkspaceNotActive         suspended or closed
    ├── EpochFenced                the edge's epoch is closed or replaced
    ├── RateLimited                a rate or concurrency limit is used up
    ├── ModelNotPriced             no price in force
    ├── PriceInThePast             a price version may not start in the past
    ├── AmountOutOfRange           beyond the ledger's range
    └── Unavailable                part of the service cannot be reached now

One table maps reasons to gRPC status (`kit/rpc/status.py`), one to OpenAI JSON (`edge/api/errors.py`).
"""

from __future__ import annotations

from typing import ClassVar

from oneapi.common.v1.error_reason_pb2 import ErrorReason


class DomainError(Exception):
    """A situation that callers can handle. `metadata` holds its dynamic parts (AIP-193)."""

    reason: ClassVar[ErrorReason.ValueType] = ErrorReason.ERROR_REASON_INTERNAL
    message: ClassVar[str] = "An internal fault."

    def __init__(self, **metadata: str | int) -> None:
        """Keep the dynamic parts as text; they are ids, names of fields and numbers only."""
        super().__init__()
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(DomainError):
    reason = ErrorReason.ERROR_REASON_INVALID_ARGUMENT
    message = "A field of the call is missing or malformed."


class Unauthenticated(DomainError):
    reason = ErrorReason.ERROR_REASON_UNAUTHENTICATED
    message = "The caller did not identify itself."


class CallerNotAllowed(DomainError):
    reason = ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED
    message = "The caller may not use this method."


class NotFound(DomainError):
    reason = ErrorReason.ERROR_REASON_NOT_FOUND
    message = "The object does not exist."


class AlreadyExists(DomainError):
    reason = ErrorReason.ERROR_REASON_ALREADY_EXISTS
    message = "An object of that name exists already."


class InvalidState(DomainError):
    reason = ErrorReason.ERROR_REASON_INVALID_STATE
    message = "The object's state does not allow the change."


class RequestIdReused(DomainError):
    reason = ErrorReason.ERROR_REASON_REQUEST_ID_REUSED
    message = "The request id was used before with other content."


class InsufficientCredits(DomainError):
    reason = ErrorReason.ERROR_REASON_INSUFFICIENT_CREDITS
    message = "Available and held credit together do not cover what is needed."


class CreditInUse(DomainError):
    reason = ErrorReason.ERROR_REASON_CREDIT_IN_USE
    message = "The credit is set aside for other requests that still run."


class WorkspaceNotActive(DomainError):
    reason = ErrorReason.ERROR_REASON_WORKSPACE_NOT_ACTIVE
    message = "The workspace is suspended or closed."


class EpochFenced(DomainError):
    reason = ErrorReason.ERROR_REASON_EPOCH_FENCED
    message = "The edge's epoch has been closed or replaced."


class RateLimited(DomainError):
    reason = ErrorReason.ERROR_REASON_RATE_LIMITED
    message = "A limit is used up."


class ModelNotPriced(DomainError):
    reason = ErrorReason.ERROR_REASON_MODEL_NOT_PRICED
    message = "The model has no price in force."


class PriceInThePast(DomainError):
    reason = ErrorReason.ERROR_REASON_PRICE_IN_THE_PAST
    message = "A price version may not start in the past."


class AmountOutOfRange(DomainError):
    reason = ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_RANGE
    message = "The amount is outside the range of the ledger."


class Unavailable(DomainError):
    reason = ErrorReason.ERROR_REASON_UNAVAILABLE
    message = "Part of the service cannot be reached now."

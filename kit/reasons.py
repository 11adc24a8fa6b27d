"""Error situations of our services: a class each, with typed attributes and a reason.

    DomainError
    ├── InvalidArgument            a field is missing or malformed
    ├── Unauthenticated            the caller did not identify itself
    ├── CallerNotAllowed           the caller may not use this method
    ├── PermissionMissing          whoever the call is made for may not do this
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

One table maps reasons to gRPC status (`kit/rpc/status.py`), one to OpenAI JSON
(`edge/errors.py`). A class's docstring is its message.
"""

from __future__ import annotations

from typing import ClassVar

from oneapi.common.v1.error_reason_pb2 import ErrorReason


class DomainError(Exception):
    """A situation that callers can handle. `metadata` holds its dynamic parts (AIP-193)."""

    reason: ClassVar[ErrorReason.ValueType] = ErrorReason.ERROR_REASON_INTERNAL
    message: ClassVar[str] = "An internal fault."

    def __init_subclass__(cls) -> None:
        """Take the message from the docstring: the situation in one sentence."""
        cls.message = (cls.__doc__ or DomainError.message).strip()

    def __init__(self, **metadata: str | int) -> None:
        """Keep the dynamic parts as text; they are ids, names of fields and numbers only."""
        super().__init__()
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(DomainError):
    """A field of the call is missing or malformed."""

    reason = ErrorReason.ERROR_REASON_INVALID_ARGUMENT


class Unauthenticated(DomainError):
    """The caller did not identify itself."""

    reason = ErrorReason.ERROR_REASON_UNAUTHENTICATED


class CallerNotAllowed(DomainError):
    """The caller may not use this method."""

    reason = ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED


class PermissionMissing(DomainError):
    """The person or key on whose behalf the call is made may not do this there."""

    reason = ErrorReason.ERROR_REASON_PERMISSION_MISSING


class NotFound(DomainError):
    """The object does not exist."""

    reason = ErrorReason.ERROR_REASON_NOT_FOUND


class AlreadyExists(DomainError):
    """An object of that name exists already."""

    reason = ErrorReason.ERROR_REASON_ALREADY_EXISTS


class InvalidState(DomainError):
    """The object's state does not allow the change."""

    reason = ErrorReason.ERROR_REASON_INVALID_STATE


class RequestIdReused(DomainError):
    """The request id was used before with other content."""

    reason = ErrorReason.ERROR_REASON_REQUEST_ID_REUSED


class InsufficientCredits(DomainError):
    """Available and held credit together do not cover what is needed."""

    reason = ErrorReason.ERROR_REASON_INSUFFICIENT_CREDITS


class CreditInUse(DomainError):
    """The credit is set aside for other requests that still run."""

    reason = ErrorReason.ERROR_REASON_CREDIT_IN_USE


class WorkspaceNotActive(DomainError):
    """The workspace is suspended or closed."""

    reason = ErrorReason.ERROR_REASON_WORKSPACE_NOT_ACTIVE


class EpochFenced(DomainError):
    """The edge's epoch has been closed or replaced."""

    reason = ErrorReason.ERROR_REASON_EPOCH_FENCED


class RateLimited(DomainError):
    """A limit is used up."""

    reason = ErrorReason.ERROR_REASON_RATE_LIMITED


class ModelNotPriced(DomainError):
    """The model has no price in force."""

    reason = ErrorReason.ERROR_REASON_MODEL_NOT_PRICED


class PriceInThePast(DomainError):
    """A price version may not start in the past."""

    reason = ErrorReason.ERROR_REASON_PRICE_IN_THE_PAST


class AmountOutOfRange(DomainError):
    """The amount is outside the range of the ledger."""

    reason = ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_RANGE


class Unavailable(DomainError):
    """Part of the service cannot be reached now."""

    reason = ErrorReason.ERROR_REASON_UNAVAILABLE

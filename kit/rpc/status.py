"""The one table from reasons to gRPC status, and both directions of an error's way (AIP-193)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from kit import reasons
from kit.reasons import DomainError
from oneapi.common.v1.error_reason_pb2 import ErrorReason

DOMAIN: Final = "1api.club"
_PREFIX: Final = "ERROR_REASON_"

_CODES: Final[dict[ErrorReason.ValueType, int]] = {
    ErrorReason.ERROR_REASON_INVALID_ARGUMENT: code_pb2.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_UNAUTHENTICATED: code_pb2.UNAUTHENTICATED,
    ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED: code_pb2.PERMISSION_DENIED,
    ErrorReason.ERROR_REASON_PERMISSION_MISSING: code_pb2.PERMISSION_DENIED,
    ErrorReason.ERROR_REASON_NOT_FOUND: code_pb2.NOT_FOUND,
    ErrorReason.ERROR_REASON_ALREADY_EXISTS: code_pb2.ALREADY_EXISTS,
    ErrorReason.ERROR_REASON_INVALID_STATE: code_pb2.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_REQUEST_ID_REUSED: code_pb2.ALREADY_EXISTS,
    ErrorReason.ERROR_REASON_INSUFFICIENT_CREDITS: code_pb2.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_CREDIT_IN_USE: code_pb2.ABORTED,
    ErrorReason.ERROR_REASON_WORKSPACE_NOT_ACTIVE: code_pb2.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_EPOCH_FENCED: code_pb2.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_RATE_LIMITED: code_pb2.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_MODEL_NOT_PRICED: code_pb2.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_PRICE_IN_THE_PAST: code_pb2.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_RANGE: code_pb2.OUT_OF_RANGE,
    ErrorReason.ERROR_REASON_UNAVAILABLE: code_pb2.UNAVAILABLE,
}
# Nobody of ours asks for CANCELLED: a server says it of calls that it drops when it stops.
_GONE: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


def _subclasses(parent: type[DomainError]) -> Iterable[type[DomainError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def status_of(error: DomainError) -> grpc.Status:
    """Return the gRPC status of a domain error, with ErrorInfo."""
    return _status(
        _CODES.get(error.reason, code_pb2.INTERNAL), error.message, error.reason, error.metadata
    )


def internal_status(error_id: str) -> grpc.Status:
    """Return the status of a fault of ours: it says nothing but the id our log has."""
    return _status(
        code_pb2.INTERNAL,
        "An internal fault.",
        ErrorReason.ERROR_REASON_INTERNAL,
        {"error_id": error_id},
    )


def domain_error_of(error: grpc.RpcError) -> DomainError:
    """Return the domain error that a failed call means; an unreachable peer is `Unavailable`."""
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return _from_info(info)
    code = error.code() if hasattr(error, "code") else None
    if code in _GONE:
        return reasons.Unavailable()
    return DomainError()


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    # Blocking and asynchronous calls both have the trailing metadata, but no common type.
    read: Any = getattr(error, "trailing_metadata", tuple)
    for key, value in read() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            details: Sequence[any_pb2.Any] = status_pb2.Status.FromString(value).details
            return details
    return ()


def _from_info(info: error_details_pb2.ErrorInfo) -> DomainError:
    for kind in _subclasses(DomainError):
        if ErrorReason.Name(kind.reason) == _PREFIX + info.reason:
            return kind(**dict(info.metadata))
    return DomainError(**dict(info.metadata))


def _status(
    code: int, message: str, reason: ErrorReason.ValueType, metadata: dict[str, str]
) -> grpc.Status:
    info = error_details_pb2.ErrorInfo(
        reason=ErrorReason.Name(reason).removeprefix(_PREFIX), domain=DOMAIN, metadata=metadata
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    status: grpc.Status = rpc_status.to_status(
        status_pb2.Status(code=code, message=message, details=[detail])
    )
    return status

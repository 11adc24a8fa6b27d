"""gRPC servers of ours: identity, allowed callers, validation, errors without text, health."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import protovalidate
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kit.log import EventLog
from kit.reasons import CallerNotAllowed, DomainError, InvalidArgument
from kit.rpc.client import MAX_MESSAGE_BYTES
from kit.rpc.identity import METADATA_KEY, Tokens, set_caller
from kit.rpc.status import internal_status, status_of

MAX_CONCURRENT_CALLS: Final = 2_000
_OPEN_TO_ALL: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer, how it is added to a server, and who may call which of its methods."""

    name: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    allowed: Mapping[str, frozenset[str]]


class RpcServer:
    """A running server."""

    def __init__(
        self, server: grpc.aio.Server, port: int, servicer: health.aio.HealthServicer
    ) -> None:
        """Keep the server, its port and its health."""
        self._server = server
        self._health = servicer
        self.port = port

    async def set_serving(self, *, serving: bool) -> None:
        """Tell health checks whether the process serves."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, let running ones finish for the grace time, then cancel them."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


async def start_server(
    services: list[Service],
    *,
    target: str,
    tokens: Tokens,
    log: EventLog,
    shares_port: bool = False,
) -> RpcServer:
    """Start serving on `host:port` (port 0 picks one); health says NOT_SERVING until told.

    `shares_port` lets another process of this user that asks for the same listen beside us: a
    replacement, while it takes our place. gRPC cannot be given a socket that already listens.

    Raises:
        OSError: the address cannot be bound.
    """
    allowed = {
        f"/{service.name}/{method}": callers
        for service in services
        for method, callers in service.allowed.items()
    }
    server = grpc.aio.server(
        interceptors=[_Guard(tokens, allowed, log)],
        options=(*_OPTIONS, ("grpc.so_reuseport", int(shares_port))),
        maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
    )
    for service in services:
        service.add(service.servicer, server)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = [service.name for service in services]
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    try:
        port = server.add_insecure_port(target)
    except RuntimeError:
        raise OSError from None
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    return RpcServer(server, port, servicer)


class _Guard(grpc.aio.ServerInterceptor):
    """Stands before every method: deny by default, validate, and let no exception text out."""

    def __init__(
        self, tokens: Tokens, allowed: Mapping[str, frozenset[str]], log: EventLog
    ) -> None:
        self._tokens = tokens
        self._allowed = allowed
        self._log = log

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(_OPEN_TO_ALL):
            return handler
        header = dict(details.invocation_metadata or ()).get(METADATA_KEY)
        admit = self._admission(details.method, header)
        if handler.response_streaming:
            return self._streaming(handler, admit, details.method)
        return self._unary(handler, admit, details.method)

    def _admission(self, method: str, header: str | bytes | None) -> Callable[[object], None]:
        def admit(request: object) -> None:
            caller = self._tokens.caller_of(header)
            if caller.name not in self._allowed.get(method, frozenset()):
                raise CallerNotAllowed(caller=caller.name)
            set_caller(caller)
            if isinstance(request, Message):
                validate(request)

        return admit

    def _unary(self, handler: Any, admit: Callable[[object], None], method: str) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                admit(request)
                return await handler.unary_unary(request, context)
            except DomainError as error:
                await context.abort_with_status(status_of(error))
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001  the boundary: nothing of it may leave
                await context.abort_with_status(self._fault(error, method))

        return grpc.unary_unary_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    def _streaming(self, handler: Any, admit: Callable[[object], None], method: str) -> Any:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def call(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            try:
                admit(request)
                async for answer in behaviour(request, context):
                    yield answer
            except DomainError as error:
                await context.abort_with_status(status_of(error))
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001  the boundary: nothing of it may leave
                await context.abort_with_status(self._fault(error, method))

        factory = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return factory(call, handler.request_deserializer, handler.response_serializer)

    def _fault(self, error: Exception, method: str) -> grpc.Status:
        error_id = f"err_{secrets.token_hex(8)}"
        self._log.fault("rpc_fault", error, error_id=error_id, method=method)
        return internal_status(error_id)


def validate(message: Message) -> None:
    """Check a request against the rules in its proto.

    Raises:
        InvalidArgument: a rule is broken; names the field, never its value.
    """
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        fields = [_field_path(violation) for violation in error.violations[:4]]
        raise InvalidArgument(fields=",".join(fields)) from None


def _field_path(violation: Any) -> str:
    return ".".join(element.field_name for element in violation.proto.field.elements)

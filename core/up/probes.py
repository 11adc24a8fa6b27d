"""Whether a child serves, asked the way its clients would ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

Probe = Callable[[], Awaitable[bool]]

_ANSWER_SECONDS: Final = 2.0
_STATUS_LINE_MAX_BYTES: Final = 1024
_CHANNEL_OPTIONS: Final = (
    # Each question is a connection of its own: nobody's back-off delays the answer.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


def grpc_health(target: str) -> Probe:
    """Return a probe of a gRPC server's health service: SERVING for the whole server."""

    async def ask() -> bool:
        # Imported here: it takes long, and the first child is already starting meanwhile.
        import grpc  # noqa: PLC0415
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

        async with grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_ANSWER_SECONDS)
            except grpc.aio.AioRpcError:
                return False
        serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
        return serving

    return ask


def http_ok(host: str, port: int, path: str) -> Probe:
    """Return a probe of an HTTP server: 200 at `path`."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await _status(host, port, path) == 200
        except (OSError, TimeoutError, ValueError, IndexError):
            return False

    return ask


def tcp_open(host: str, port: int) -> Probe:
    """Return a probe that is content when a connection is accepted."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return ask


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port, limit=_STATUS_LINE_MAX_BYTES)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()

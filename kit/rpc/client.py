"""Channels to our own services: keep-alive, limits, retries and the caller's identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import grpc

from kit.rpc.identity import bearer

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_RETRY: Final = {
    "methodConfig": [
        {
            "name": [{}],
            # Every call of ours may be repeated: it reads, or carries an id or a growing total.
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                # A server that shuts down cancels the calls that it has not begun.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
    "loadBalancingConfig": [{"round_robin": {}}],
}
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 1),
    ("grpc.service_config", json.dumps(_RETRY)),
)


class _AsyncIdentity:
    """Adds the caller's token to a call. One class a call kind: grpc.aio sorts them by base."""

    def __init__(self, token: str) -> None:
        self._metadata = bearer(token)

    def _with_identity(self, details: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *self._metadata)
        return details._replace(metadata=metadata)


class _UnaryUnary(_AsyncIdentity, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._with_identity(details), request)


class _UnaryStream(_AsyncIdentity, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._with_identity(details), request)


class _StreamStream(_AsyncIdentity, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await continuation(self._with_identity(details), requests)


def open_channel(target: str, token: str) -> grpc.aio.Channel:
    """Return an asynchronous channel whose calls carry the token. It connects by itself."""
    identities: list[grpc.aio.ClientInterceptor] = [
        _UnaryUnary(token),
        _UnaryStream(token),
        _StreamStream(token),
    ]
    return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=identities)


class _SyncIdentity(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
):
    """Adds the caller's token to every call of a blocking channel."""

    def __init__(self, token: str) -> None:
        self._metadata = bearer(token)

    def _with_identity(self, details: Any) -> Any:
        return details._replace(metadata=(*(details.metadata or ()), *self._metadata))

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        return continuation(self._with_identity(details), request)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        return continuation(self._with_identity(details), request)


def sync_channel(target: str, token: str) -> grpc.Channel:
    """Return a blocking channel for the command line."""
    channel = grpc.insecure_channel(target, options=_OPTIONS)
    return grpc.intercept_channel(channel, _SyncIdentity(token))

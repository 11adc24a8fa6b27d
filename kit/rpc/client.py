"""Channels to our own services: keep-alive, limits, retries and the caller's identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Self

import grpc

from kit.rpc.identity import bearer

Pairs = tuple[tuple[str, str], ...]
"""Metadata of a call, beside the caller's token."""
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


class _IdentifiedChannel(grpc.aio.Channel):
    """A channel whose calls carry the caller's token.

    Not by interceptors: grpc.aio writes an intercepted stream through a task of its own, which
    waits for ever once the stream is broken.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = bearer(token)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._identified(self._channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._identified(self._channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._identified(self._channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._identified(self._channel.stream_stream(*arguments, **options))

    def _identified(self, method: Any) -> Callable[..., Any]:
        def call(*arguments: Any, metadata: Pairs = (), **options: Any) -> Any:
            return method(
                *arguments, metadata=grpc.aio.Metadata(*self._metadata, *metadata), **options
            )

        return call

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  grpc's
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()


def open_channel(target: str, token: str) -> grpc.aio.Channel:
    """Return an asynchronous channel whose calls carry the token. It connects by itself."""
    return _IdentifiedChannel(grpc.aio.insecure_channel(target, options=_OPTIONS), token)


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

"""The same client behind httpx's port, for code that is not hot and likes httpx's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx

from edge.upstream import errors
from edge.upstream.client import Origin, Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse

_NO_TIMEOUT_SECONDS: Final = 3600.0
# httpx sets these for its own connections; ours are set by the client.
_LEFT_OUT: Final = frozenset({b"host", b"connection", b"content-length", b"transfer-encoding"})
_HTTPX_ERRORS: Final[dict[type[errors.UpstreamError], type[httpx.TransportError]]] = {
    errors.RequestInvalid: httpx.LocalProtocolError,
    errors.ConnectFailed: httpx.ConnectError,
    errors.ConnectTimeout: httpx.ConnectTimeout,
    errors.PoolFull: httpx.PoolTimeout,
    errors.WriteFailed: httpx.WriteError,
    errors.FirstByteTimeout: httpx.ReadTimeout,
    errors.IdleTimeout: httpx.ReadTimeout,
    errors.ConnectionReset: httpx.ReadError,
    errors.ProtocolViolation: httpx.RemoteProtocolError,
    errors.BodyCut: httpx.RemoteProtocolError,
}


class PooledTransport(httpx.AsyncBaseTransport):
    """`httpx.AsyncClient(transport=PooledTransport(client))`; the client is closed by its owner."""

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; httpx's time-outs become ours, its errors are raised."""
        outgoing = UpstreamRequest(
            origin=_origin(request.url),
            method=request.method.encode("ascii"),
            target=request.url.raw_path,
            headers=tuple(
                (name, value)
                for name, value in request.headers.raw
                if name.lower() not in _LEFT_OUT
            ),
            body=await request.aread(),
            timeouts=_timeouts(request.extensions.get("timeout", {})),
        )
        try:
            response = await self._client.send(outgoing)
        except errors.UpstreamError as error:
            raise _as_httpx(error) from None
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))


class _Body(httpx.AsyncByteStream):
    """The body as httpx reads it; a body without framing may end where the upstream closes."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._response.next_chunk():
                yield chunk
        except errors.BodyCut as cut:
            if not (cut.clean_close and self._response.framing == "close"):
                raise _as_httpx(cut) from None
        except errors.UpstreamError as error:
            raise _as_httpx(error) from None

    async def aclose(self) -> None:
        self._response.cancel()


def _origin(url: httpx.URL) -> Origin:
    host = url.raw_host.decode("ascii")
    if url.scheme == "https":
        return Origin("https", host, url.port or 443)
    return Origin("http", host, url.port or 80)


def _timeouts(given: dict[str, float | None]) -> Timeouts:
    connect, read = given.get("connect"), given.get("read")
    return Timeouts(
        connect_seconds=_NO_TIMEOUT_SECONDS if connect is None else connect,
        first_byte_seconds=_NO_TIMEOUT_SECONDS if read is None else read,
        idle_seconds=_NO_TIMEOUT_SECONDS if read is None else read,
    )


def _as_httpx(error: errors.UpstreamError) -> httpx.TransportError:
    return _HTTPX_ERRORS[type(error)](error.sentence)

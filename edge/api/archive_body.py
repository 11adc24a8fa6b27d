"""The body of a file that the archiver streams: taken no faster than the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge.server.cycle import AnswerCut


class FileBody(Response):
    """An answer whose body comes from a download that has begun.

    A download that ends early is never ended cleanly: the connection closes, so that the client
    goes on from the byte where it was cut.
    """

    def __init__(
        self, call: Any, status: int, headers: Mapping[str, str], ended: Callable[[], None]
    ) -> None:
        """Take the call behind its first message; `ended` is called when it is over."""
        # Without a length here, the front ends the body by chunks.
        super().__init__(None, status, headers)
        self._call = call
        self._ended = ended
        if "content-length" not in headers:
            self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002  Starlette's signature
        receive: Receive,
        send: Send,
    ) -> None:
        """Send the head and every part; stop when the client leaves."""
        gone = asyncio.ensure_future(_departure(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            while (part := await self._call.read()) is not grpc.aio.EOF:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": part.data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except grpc.RpcError:
            raise AnswerCut from None
        finally:
            gone.cancel()
            self._call.cancel()
            self._ended()


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

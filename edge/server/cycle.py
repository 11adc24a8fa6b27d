"""One request and its answer, as uvicorn runs them, without its texts about failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from edge.server.refusal import INTERNAL


class AnswerMissing(Exception):
    """The application returned without a complete answer."""


class Cycle(RequestResponseCycle):
    """Reports a fault by its exception object only and answers it in our own words."""

    def __init__(self, *, on_fault: Callable[[BaseException], None], **options: Any) -> None:
        super().__init__(access_log=False, **options)
        self._on_fault = on_fault

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application on this request; its exceptions end here."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise AnswerMissing  # noqa: TRY301 - a fault like one that the application raises
        except asyncio.CancelledError:
            self.transport.close()
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence
            self._on_fault(error)
            await self._end_badly()
        finally:
            self.on_response = _nothing

    async def _end_badly(self) -> None:
        """Answer 500 if nothing was sent; else cut, so that nobody takes the part for the whole."""
        if self.response_started or self.disconnected:
            self.transport.close()
            return
        body = INTERNAL.body()
        length = (b"content-length", b"%d" % len(body))
        headers = [*INTERNAL.headers(), length]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def hang_up(self) -> None:
        """Tell the application that the client is gone."""
        self.disconnected = True
        self.message_event.set()


def _nothing() -> None:
    """Break the cycle between the answer and its connection."""

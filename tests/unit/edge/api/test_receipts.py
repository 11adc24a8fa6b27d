"""Receipts of charges: few are asked for at a time, whoever has a key."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import grpc
import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from edge.admission.admit import Admission
from edge.api.receipts import ASKED_MAX, Receipts
from kit.clock import SystemClock


class Everybody:
    """Lets everybody in."""

    async def authenticate(self, _key: str, _peer: str | None) -> SimpleNamespace:
        """Return a grant."""
        return SimpleNamespace(workspace_id=bytes(16))


async def test_few_receipts_are_asked_for_at_a_time() -> None:
    """Each costs core work; whoever comes then is told to come again."""

    async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        receipts = Receipts(channel, cast("Admission", Everybody()), SystemClock())
        routes = [Route("/v1/receipts/{request_id}", receipts.receipt)]
        transport = httpx.ASGITransport(Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            path, headers = f"/v1/receipts/req_{1:032x}", {"authorization": "Bearer key"}
            crowd = [
                asyncio.create_task(client.get(path, headers=headers)) for _ in range(ASKED_MAX)
            ]
            await asyncio.sleep(0.1)
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "receipts_busy")
            assert "retry-after" in answer.headers
            await asyncio.gather(*crowd)
            answer = await client.get(path, headers=headers)
            assert answer.json()["error"]["code"] != "receipts_busy"

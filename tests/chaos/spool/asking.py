"""Clients of a real edge: what each was told, and whether its answer came whole."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any, Self

import httpx

PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `whole` says that its protocol's own end was seen."""

    request_id: bytes
    status: int
    whole: bool
    code: str
    retry_after: str
    seconds: float

    @property
    def is_refusal(self) -> bool:
        """Say whether it is a 503 that says when to come again."""
        return self.status == 503 and self.retry_after.isdigit()


class Asker:
    """Asks one edge as one client does."""

    def __init__(self, base_url: str, api_key: str) -> None:
        """Keep connections, as SDKs do."""
        self._health = f"{base_url.removesuffix('/v1')}/healthz"
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {api_key}"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, model: str, *, stream: bool = False, tokens: int = 2) -> Answer:
        """Ask once, and take the answer to its end however it ends."""
        body: dict[str, Any] = {
            "model": model,
            "stream": stream,
            "max_tokens": tokens,
            "messages": [{"role": "user", "content": "Name a thing that is blue."}],
        }
        began, taken = time.monotonic(), b""
        async with self._client.stream("POST", "/chat/completions", json=body) as answer:
            ended = True
            try:
                async for chunk in answer.aiter_raw():
                    taken += chunk
            except httpx.RemoteProtocolError:
                ended = False
        return Answer(
            request_id=bytes.fromhex(answer.headers["x-request-id"].removeprefix("req_")),
            status=answer.status_code,
            whole=ended and (not stream or taken.endswith(b"data: [DONE]\n\n")),
            code=_code(taken),
            retry_after=answer.headers.get("retry-after", ""),
            seconds=time.monotonic() - began,
        )

    async def ask_health(self) -> float:
        """Return how many seconds the shortest of all answers takes here and now."""
        began = time.monotonic()
        await self._client.get(self._health)
        return time.monotonic() - began

    async def ask_often(self, count: int, model: str, at_once: int = 16) -> list[Answer]:
        """Ask so many times, some at once; stop at the first refusal."""
        answers: list[Answer] = []

        async def work() -> None:
            while len(answers) < count and not (answers and answers[-1].is_refusal):
                answers.append(await self.ask(model))

        await asyncio.gather(*(work() for _ in range(at_once)))
        return answers


def _code(taken: bytes) -> str:
    """Return the code of the error that an answer is, or has in its last frame."""
    text = taken.rpartition(b"data: {")[2]
    try:
        document = json.loads(b"{" + text if text != taken else taken)
    except ValueError:
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    return str(error.get("code")) if isinstance(error, dict) else ""

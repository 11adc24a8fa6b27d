"""Clients' idempotency keys that requests on this edge have claimed at core.

A request that is refused after its claim, or whose claim's answer came too late, has called nobody:
its claim is given up, in the background and again until core has heard it. What is still on the
list when the process ends is freed by core when the epoch is closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from kit.log import EventLog
from kit.reasons import DomainError, Unavailable
from oneapi.admission.v1 import admission_service_pb2 as pb2

MAX_WAITING: Final = 10_000
"""Claims to give up; beyond it the oldest wait for the end of the epoch."""
RETRY_SECONDS: Final = 1.0
_CLAIMED: Final = pb2.ClaimIdempotencyKeyResponse.RESULT_CLAIMED


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A client's key in a workspace, and the request that it came with."""

    workspace_id: bytes
    key_hash: bytes
    request_id: bytes


class ClaimCalls(Protocol):
    """The calls to core that claims need."""

    async def claim(self, key: ClientKey) -> pb2.ClaimIdempotencyKeyResponse:
        """Claim a key for its request; Unavailable."""

    async def release(self, key: ClientKey) -> None:
        """Give a claim up; Unavailable."""


class Claims:
    """The claims of this edge."""

    def __init__(self, calls: ClaimCalls, log: EventLog) -> None:
        """Ask core through the calls."""
        self._calls = calls
        self._log = log
        self._waiting: OrderedDict[ClientKey, None] = OrderedDict()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many claims are to be given up."""
        return len(self._waiting)

    async def claim(self, key: ClientKey) -> pb2.ClaimIdempotencyKeyResponse:
        """Claim a client's key; a claim whose outcome is not known is given up.

        Raises:
            DomainError: the request must be refused.
        """
        try:
            try:
                return await self._calls.claim(key)
            except Unavailable:
                # Perhaps only the answer was late: the same request claims its own key again.
                return await self._calls.claim(key)
        except BaseException:
            self.give_up(key)
            raise

    def give_up(self, key: ClientKey) -> None:
        """Let core know, soon, that the request of a claim was refused before its INTENT."""
        self._waiting[key] = None
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        self._wake.set()

    async def run(self) -> None:
        """Give claims up one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._release(next(iter(self._waiting)))

    async def _release(self, key: ClientKey) -> None:
        try:
            await self._calls.release(key)
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
            return
        except DomainError as error:
            self._log.event("claim_not_released", reason=int(error.reason))
        except Exception as error:  # noqa: BLE001  the others are given up whatever this one brings
            self._log.fault("claim_release_fault", error)
            if key in self._waiting:
                self._waiting.move_to_end(key)
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._waiting.pop(key, None)


def is_claimed(answer: pb2.ClaimIdempotencyKeyResponse) -> bool:
    """Say whether the request may go on."""
    return answer.result == _CLAIMED

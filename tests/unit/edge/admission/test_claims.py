"""Claims of clients' keys: asked twice, and given up until core has heard it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from edge.admission import claims as claims_module
from edge.admission.claims import Claims, ClientKey, is_claimed
from kit.log import EventLog
from kit.reasons import EpochFenced, Unavailable
from oneapi.admission.v1 import admission_service_pb2 as pb2

KEY = ClientKey(b"w" * 16, b"h" * 32, b"r" * 16)


@dataclass(slots=True)
class CoreClaims:
    """Core's side: who claimed and who gave up, with answers that get lost."""

    lose_answers: int = 0
    refusal: Exception | None = None
    claimed: list[ClientKey] = field(default_factory=list)
    released: list[ClientKey] = field(default_factory=list)

    async def claim(self, key: ClientKey) -> pb2.ClaimIdempotencyKeyResponse:
        """Claim."""
        self.claimed.append(key)
        self._answer()
        return pb2.ClaimIdempotencyKeyResponse(
            result=pb2.ClaimIdempotencyKeyResponse.RESULT_CLAIMED
        )

    async def release(self, key: ClientKey) -> None:
        """Give up."""
        self._answer()
        self.released.append(key)

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable


@pytest.fixture
def core() -> CoreClaims:
    """Give a core that answers."""
    return CoreClaims()


@pytest.fixture
async def claims(core: CoreClaims, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Claims]:
    """Give claims whose background work runs, without its pauses."""
    monkeypatch.setattr(claims_module, "RETRY_SECONDS", 0.0)
    found = Claims(core, EventLog("test", stream=io.StringIO()))
    running = asyncio.create_task(found.run())
    yield found
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def until_quiet(claims: Claims) -> None:
    """Let the background work end."""
    for _ in range(50):
        await asyncio.sleep(0)
        if not claims.waiting:
            return
    raise AssertionError


async def test_a_claim_that_was_answered_is_kept(claims: Claims, core: CoreClaims) -> None:
    """One call, nothing to give up."""
    assert is_claimed(await claims.claim(KEY))
    await until_quiet(claims)
    assert (core.claimed, core.released) == ([KEY], [])


async def test_a_claim_whose_answer_was_late_is_asked_for_again(
    claims: Claims, core: CoreClaims
) -> None:
    """The same request claims its own key."""
    core.lose_answers = 1
    assert is_claimed(await claims.claim(KEY))
    assert core.claimed == [KEY, KEY]


async def test_a_claim_that_was_never_answered_is_given_up_until_core_has_heard_it(
    claims: Claims, core: CoreClaims
) -> None:
    """The client was told 503: its next request must find the key free."""
    core.lose_answers = 4
    with pytest.raises(Unavailable):
        await claims.claim(KEY)
    await until_quiet(claims)
    assert core.released == [KEY]


async def test_a_claim_whose_request_is_cancelled_is_given_up(
    claims: Claims, core: CoreClaims
) -> None:
    """Whatever ended it."""
    core.refusal = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await claims.claim(KEY)
    core.refusal = None
    await until_quiet(claims)
    assert core.released == [KEY]


async def test_a_release_that_core_refuses_is_not_repeated(
    claims: Claims, core: CoreClaims
) -> None:
    """The epoch's end frees what is left."""
    core.refusal = EpochFenced()
    claims.give_up(KEY)
    await until_quiet(claims)
    assert core.released == []


async def test_a_fault_stops_no_release(claims: Claims, core: CoreClaims) -> None:
    """The background work outlives whatever an answer brings, and says the claim again."""
    core.refusal = RuntimeError()
    claims.give_up(KEY)
    for _ in range(5):
        await asyncio.sleep(0)
    core.refusal = None
    await until_quiet(claims)
    assert core.released == [KEY]


async def test_what_waits_is_bounded(core: CoreClaims, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest wait for the end of the epoch."""
    monkeypatch.setattr(claims_module, "MAX_WAITING", 2)
    found = Claims(core, EventLog("test", stream=io.StringIO()))
    for number in range(5):
        found.give_up(ClientKey(KEY.workspace_id, KEY.key_hash, bytes([number]) * 16))
    assert found.waiting == 2

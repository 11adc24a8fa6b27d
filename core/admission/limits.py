"""Slices of a key's rate limits. What all edges together get in a minute never exceeds the limit.

Windows are calendar minutes (UTC). All slices of a key are dealt under one row lock, so two edges
cannot be given the same remainder. Spend limits: `core/keys/spend.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from core.keys.model import KeyLimits
from kit.reasons import NotFound

PERMIT_SECONDS: Final = 60
WINDOW: Final = timedelta(minutes=1)
KEPT_WINDOWS: Final = timedelta(hours=1)

_LOCK: Final = """
SELECT workspace_id, requests_per_minute, tokens_per_minute, concurrent_requests, spend_per_day,
       spend_per_month, spend_total
  FROM api_key WHERE id = :key_id FOR NO KEY UPDATE
"""
_WINDOW: Final = """
SELECT requests, tokens FROM limit_window WHERE key_id = :key_id AND window_start = :start
"""
_PUT_WINDOW: Final = """
INSERT INTO limit_window (key_id, window_start, requests, tokens)
VALUES (:key_id, :start, :requests, :tokens)
ON CONFLICT (key_id, window_start)
DO UPDATE SET requests = limit_window.requests + excluded.requests,
              tokens = limit_window.tokens + excluded.tokens
"""
_DROP_OLD_PERMITS: Final = """
DELETE FROM limit_permit WHERE key_id = :key_id AND edge_id = :edge_id AND epoch < :epoch
"""
_OTHER_PERMITS: Final = """
SELECT coalesce(sum(permits), 0)::bigint AS permits FROM limit_permit
 WHERE key_id = :key_id AND expires_at > :now AND (edge_id, epoch) <> (:edge_id, :epoch)
"""
_PUT_PERMITS: Final = """
INSERT INTO limit_permit (key_id, edge_id, epoch, permits, expires_at)
VALUES (:key_id, :edge_id, :epoch, :permits, :expires_at)
ON CONFLICT (key_id, edge_id, epoch)
DO UPDATE SET permits = excluded.permits, expires_at = excluded.expires_at
"""
_DROP_WINDOWS: Final = "DELETE FROM limit_window WHERE window_start < :before"
_DROP_PERMITS: Final = "DELETE FROM limit_permit WHERE expires_at < :before"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an edge asks for: slices on top of what it has, and its permits in all."""

    requests: int = 0
    tokens: int = 0
    concurrent_requests: int = 0


@dataclass(frozen=True, slots=True)
class LockedKey:
    """A key whose slices nobody else deals until the transaction ends."""

    key_id: bytes
    workspace_id: bytes
    limits: KeyLimits


@dataclass(frozen=True, slots=True)
class Slices:
    """What it gets, and what of the minute nobody has taken."""

    requests: int
    tokens: int
    concurrent_requests: int
    requests_left: int
    tokens_left: int
    window_remaining_ms: int


def share(limit: int, taken: int, wanted: int) -> int:
    """Return how much of what is wanted a limit still allows; 0 is no limit."""
    return wanted if limit == 0 else max(0, min(wanted, limit - taken))


def left(limit: int, taken: int) -> int:
    """Return what nobody has taken; 0 where there is no limit."""
    return max(0, limit - taken)


async def lock_key(tx: Transaction, key_id: bytes) -> LockedKey:
    """Lock a key to deal slices of its limits.

    Raises:
        NotFound: there is no such key.
    """
    row = await tx.one(_LOCK, key_id=to_uuid(key_id))
    if row is None:
        raise NotFound
    limits = dict(row._mapping)  # noqa: SLF001 the public name of a row's columns
    return LockedKey(key_id, from_uuid(limits.pop("workspace_id")), KeyLimits(**limits))


async def take_slices(
    tx: Transaction, key: LockedKey, *, edge_id: int, epoch: int, wanted: Wanted, now: datetime
) -> Slices:
    """Deal slices of a key's rate and concurrency limits to one edge."""
    start = window_start(now)
    requests, tokens, requests_left, tokens_left = await _take_rate(
        tx, key.key_id, key.limits, wanted, start
    )
    permits = await _take_permits(tx, edge_id, epoch, key.key_id, key.limits, wanted, now)
    return Slices(
        requests=requests,
        tokens=tokens,
        concurrent_requests=permits,
        requests_left=requests_left,
        tokens_left=tokens_left,
        window_remaining_ms=(start + WINDOW - now) // timedelta(milliseconds=1),
    )


def window_start(now: datetime) -> datetime:
    """Return the beginning of the running minute (UTC)."""
    return now.astimezone(UTC).replace(second=0, microsecond=0)


async def sweep(tx: Transaction, now: datetime) -> None:
    """Forget windows and permits that can matter no more."""
    before = now - KEPT_WINDOWS
    await tx.run(_DROP_WINDOWS, before=before)
    await tx.run(_DROP_PERMITS, before=before)


async def _take_rate(
    tx: Transaction, key_id: bytes, limits: KeyLimits, wanted: Wanted, start: datetime
) -> tuple[int, int, int, int]:
    row = await tx.one(_WINDOW, key_id=to_uuid(key_id), start=start)
    taken_requests, taken_tokens = (0, 0) if row is None else (row.requests, row.tokens)
    requests = share(limits.requests_per_minute, taken_requests, wanted.requests)
    tokens = share(limits.tokens_per_minute, taken_tokens, wanted.tokens)
    if requests or tokens:
        await tx.run(
            _PUT_WINDOW, key_id=to_uuid(key_id), start=start, requests=requests, tokens=tokens
        )
    return (
        requests,
        tokens,
        left(limits.requests_per_minute, taken_requests + requests),
        left(limits.tokens_per_minute, taken_tokens + tokens),
    )


async def _take_permits(
    tx: Transaction,
    edge_id: int,
    epoch: int,
    key_id: bytes,
    limits: KeyLimits,
    wanted: Wanted,
    now: datetime,
) -> int:
    if not limits.concurrent_requests:
        return wanted.concurrent_requests
    place: dict[str, object] = {"key_id": to_uuid(key_id), "edge_id": edge_id, "epoch": epoch}
    # The process before in this slot is dead, and its requests with it.
    await tx.run(_DROP_OLD_PERMITS, **place)
    others = await tx.one(_OTHER_PERMITS, **place, now=now)
    taken = 0 if others is None else int(others.permits)
    permits = share(limits.concurrent_requests, taken, wanted.concurrent_requests)
    until = now + timedelta(seconds=PERMIT_SECONDS)
    await tx.run(_PUT_PERMITS, **place, permits=permits, expires_at=until)
    return permits

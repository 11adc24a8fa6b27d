"""Epochs of edge processes: each start fences what an earlier process of the same slot may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.admission import idempotency
from core.audit import Act
from core.db.database import Transaction
from core.db.values import to_uuid
from core.keys import spend
from core.ledger import leases
from kit.reasons import InvalidArgument, NotFound, Unavailable

_ATTEMPTS: Final = 3

_OF_NONCE: Final = "SELECT edge_id, epoch FROM edge_epoch WHERE boot_nonce = :nonce"
_OPEN: Final = """
INSERT INTO edge_epoch (edge_id, epoch, boot_nonce, opened_at, acked_sequence, missing_frames)
SELECT :edge_id, coalesce(max(epoch), 0) + 1, :nonce, :now, 0, 0
  FROM edge_epoch WHERE edge_id = :edge_id
ON CONFLICT DO NOTHING RETURNING epoch
"""
# FOR UPDATE, not less: it waits for what is being granted, and grants wait for it (epoch_store).
_LOCK: Final = """
SELECT closed_at, acked_sequence, missing_frames FROM edge_epoch
 WHERE edge_id = :edge_id AND epoch = :epoch FOR UPDATE
"""
_CLOSE: Final = """
UPDATE edge_epoch SET closed_at = :now, missing_frames = :missing, acked_sequence = :through
 WHERE edge_id = :edge_id AND epoch = :epoch
"""
_ALARM: Final = """
INSERT INTO alarm (id, occurred_at, kind, edge_id, epoch, object_id, expected, found)
VALUES (:id, :now, :kind, :edge_id, :epoch, '', :expected, :found)
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing an epoch gave back (nano-US-dollars) and how much of its spool never came."""

    released_nanos: int
    missing_frames: int


async def open_epoch(tx: Transaction, act: Act, edge_id: int, nonce: bytes) -> int:
    """Return the epoch of a process: a new one, larger than all before; the same nonce, the same.

    Raises:
        InvalidArgument: the nonce belongs to a process of another slot.
        Unavailable: other processes of the slot start at the same time.
    """
    for _ in range(_ATTEMPTS):
        known = await tx.one(_OF_NONCE, nonce=nonce)
        if known is not None and known.edge_id != edge_id:
            raise InvalidArgument(fields="boot_nonce")
        if known is not None:
            return int(known.epoch)
        opened = await tx.one(_OPEN, edge_id=edge_id, nonce=nonce, now=act.now)
        if opened is not None:
            await act.audit(tx, "admission.OpenEpoch", f"edge/{edge_id}/{opened.epoch}")
            return int(opened.epoch)
    raise Unavailable(cause="epoch")


async def close_epoch(
    tx: Transaction, act: Act, edge_id: int, epoch: int, last_sequence: int
) -> Closed:
    """End an epoch whose spool was shipped: leases, slices and claims of requests that left no
    record end; what never came is alarmed.

    So is a spool that ends elsewhere than what was taken of it: somebody put an old copy back.
    A repeated call releases nothing more.

    Raises:
        NotFound: there is no such epoch.
    """
    row = await tx.one(_LOCK, edge_id=edge_id, epoch=epoch)
    if row is None:
        raise NotFound(edge=edge_id, epoch=epoch)
    acked, closed = int(row.acked_sequence), row.closed_at is not None
    kind = _alarm_of(acked, last_sequence, closed=closed)
    if kind is not None:
        await tx.run(
            _ALARM,
            id=to_uuid(act.ids.new()),
            now=act.now,
            kind=kind,
            edge_id=edge_id,
            epoch=epoch,
            expected=max(acked, last_sequence),
            found=min(acked, last_sequence),
        )
    if closed:
        return Closed(0, int(row.missing_frames))
    missing = int(row.missing_frames) + max(0, last_sequence - acked)
    through = max(acked, last_sequence)
    await tx.run(
        _CLOSE, edge_id=edge_id, epoch=epoch, now=act.now, missing=missing, through=through
    )
    released = await leases.close_epoch(tx, edge_id, epoch, act.now)
    await spend.close_epoch(tx, edge_id, epoch)
    if not missing:
        # Else a lost frame may have been the INTENT of a request that called its upstream.
        await idempotency.free_of_epoch(tx, edge_id, epoch)
    await act.audit(tx, "admission.CloseEpoch", f"edge/{edge_id}/{epoch}")
    return Closed(released, missing)


def _alarm_of(acked: int, last: int, *, closed: bool) -> str | None:
    """Return what is wrong with a spool that ends at `last` if core took it up to `acked`.

    A closed one that is empty was being removed when its edge died.
    """
    if last == acked or (closed and last == 0):
        return None
    return "spool_replayed" if closed or last < acked else "missing_frames"

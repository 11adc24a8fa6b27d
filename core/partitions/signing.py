"""Signs a manifest with the platform key, once its totals are those of the hot store and ledger.

The archiver says what the files add up to, as it read them back from the store. Core counts for
itself. What the two do not agree about is never signed, and what is not signed is never published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from core.audit import Act
from core.db.database import Pool, Transaction
from core.metering.store import Alarm, insert_alarms
from core.partitions import file_store, totals
from core.partitions.errors import ArchiveDiffers, MonthNotReady
from core.partitions.file_store import SignedTotals
from core.partitions.lease import hold_fence
from core.partitions.model import (
    COMPARED,
    SUMMED,
    MonthFacts,
    Reason,
    State,
    Totals,
    differences,
    month_name,
    together,
)
from core.partitions.months import read_month, require
from core.partitions.totals import Counted
from core.platform_key import PlatformKey
from kit.archive_manifest import FORMAT, manifest_statement
from kit.ids import format_id

MISMATCH: Final = "archive_mismatch"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be signed: a manifest, and what the files that it names add up to."""

    month: date
    revision: int
    reason: Reason
    totals: Totals
    manifest_sha256: bytes
    late_ids: Sequence[bytes] = ()


async def sign_manifest(
    pool: Pool, act: Act, key: PlatformKey, fence: int, claim: Claim, known: Counted
) -> SignedTotals:
    """Return the signature of a manifest; the same one for the same manifest.

    Raises:
        MonthNotReady: the month is not frozen, or another revision is next.
        ArchiveDiffers: the totals are not what core counts; an alarm tells of it.
    """
    workspace_id = claim.totals.workspace_id
    async with pool.transaction("system", snapshot=True) as tx:
        await totals.take_time(tx)
        await hold_fence(tx, fence)
        facts = await read_month(tx, claim.month)
        stored = await file_store.signed_of_revision(tx, claim.month, claim.revision, workspace_id)
        before = stored.get(workspace_id)
        if before is not None and before.manifest_sha256 == claim.manifest_sha256:
            return before
        _check_turn(facts, act, claim)
        wrong = await _differing(tx, claim, known)
        if not wrong:
            signed = _sign(key, claim)
            await file_store.write_signed(tx, claim.month, signed, act.now)
            await tx.commit()
            return signed
    await _alarm(pool, act, workspace_id)
    raise ArchiveDiffers(
        month=month_name(claim.month),
        workspace=format_id("ws", workspace_id),
        fields=",".join(wrong),
    )


def _check_turn(facts: MonthFacts, act: Act, claim: Claim) -> None:
    initial = claim.reason is Reason.INITIAL
    if initial:
        require(facts, act, State.FROZEN)
    else:
        require(facts, act, State.PUBLISHED, State.DETACHED, State.DROPPED)
    if claim.revision != facts.revision + 1 or initial != (claim.revision == 1):
        raise MonthNotReady(month=month_name(claim.month), revision=facts.revision)


async def _differing(tx: Transaction, claim: Claim, known: Counted) -> Sequence[str]:
    """Return in what the claim differs from what core counts."""
    workspace_id = claim.totals.workspace_id
    if claim.reason is Reason.INITIAL:
        counted = known.find(claim.month, workspace_id)
        if counted is None:
            counted = await totals.totals_of(tx, claim.month, workspace_id)
        wrong = differences(counted, claim.totals, COMPARED)
        return [*wrong, *counted.disagrees_with_ledger()]
    before = await file_store.signed_before(tx, claim.month, workspace_id, claim.revision)
    base = Totals(workspace_id) if before is None else before.totals
    if claim.reason is Reason.ERASURE:
        return differences(base, claim.totals, (*SUMMED, "ids_hash"))
    added = await totals.late_totals(tx, claim.month, workspace_id, claim.late_ids)
    wrong = differences(together(base, added), claim.totals, SUMMED)
    # Each named record counts once, and is one that waits.
    return wrong if added.records == len(claim.late_ids) else [*wrong, "late_ids"]


def _sign(key: PlatformKey, claim: Claim) -> SignedTotals:
    workspace = format_id("ws", claim.totals.workspace_id)
    statement = manifest_statement(
        workspace, month_name(claim.month), claim.revision, claim.manifest_sha256
    )
    signature = key.sign(FORMAT, statement)
    return SignedTotals(
        claim.totals, claim.revision, claim.manifest_sha256, signature.key_id, signature.value
    )


async def _alarm(pool: Pool, act: Act, workspace_id: bytes) -> None:
    async with pool.transaction("system") as tx:
        alarm = Alarm(MISMATCH, 0, 0, format_id("ws", workspace_id))
        await insert_alarms(tx, [alarm], act.ids, act.now)
        await tx.commit()

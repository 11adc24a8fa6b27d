"""One transaction: new usage records of one wallet and month, and the money that they cost.

Idempotent: it posts exactly the records that its insert returned, so that a batch may come again,
whole or cut differently, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from core.db.database import Transaction
from core.keys import spend
from core.ledger import settlement
from core.ledger.model import Wallet
from core.ledger.settlement import Charge, RecordsProof
from core.ledger.store import lock_wallets, read_wallet
from core.metering import store
from core.metering.model import PricedRecord, Record
from core.metering.partitions import read_watermark
from core.metering.store import Alarm, Rollup, UsageTable
from kit.clock import from_micros
from kit.ids import IdSource, format_id
from kit.merkle import root
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1.usage_record_pb2 import WaiveReason


@dataclass(frozen=True, slots=True)
class Reported:
    """A record as it came: with its place in a spool, the edge's figure and core's."""

    record: Record
    edge_id: int
    epoch: int
    sequence: int
    edge_figure: int
    figure: int


@dataclass(slots=True)
class Verdict:
    """What became of records: refused ones with the reason; all others are durable."""

    refused: list[tuple[Reported, ErrorReason.ValueType]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def refuse(self, reported: Reported, reason: ErrorReason.ValueType) -> None:
        """Refuse a record for good and raise the alarm."""
        self.refused.append((reported, reason))
        self.alarms.append(refusal_alarm(reported, reason))


def refusal_alarm(reported: Reported, reason: ErrorReason.ValueType) -> Alarm:
    """Return the alarm that a refused record raises, such as `record_conflict`."""
    kind = ErrorReason.Name(reason).removeprefix("ERROR_REASON_").lower()
    return _alarm(kind, reported)


async def settle_group(
    tx: Transaction,
    workspace_id: bytes,
    month: date,
    group: Sequence[Reported],
    *,
    ids: IdSource,
    now: datetime,
) -> Verdict:
    """Write records of one wallet and month and post their charges; the caller commits."""
    verdict = Verdict()
    if month < await read_watermark(tx):
        await _settle_late(tx, workspace_id, month, group, verdict, now)
    else:
        await _settle_wallet(tx, workspace_id, month, group, verdict, now)
    await store.insert_alarms(tx, verdict.alarms, ids, now)
    return verdict


async def _settle_wallet(
    tx: Transaction,
    workspace_id: bytes,
    month: date,
    group: Sequence[Reported],
    verdict: Verdict,
    now: datetime,
) -> None:
    wallet = (await lock_wallets(tx, [workspace_id])).get(workspace_id)
    if wallet is None:
        _refuse_all(group, verdict)
        return
    candidates = _first_of_each(group, verdict, late=False)
    settlement_id = settlement.new_settlement_id(now, wallet)
    new = await _insert(tx, "usage_record", candidates, settlement_id, verdict, now)
    if new:
        _compare_figures(new, verdict)
        priced = [each for _, each in new]
        await _post(tx, wallet, month, priced, settlement_id, now)
        await store.roll_up(tx, workspace_id, _rolled_up(priced))
        await spend.settle(tx, workspace_id, _charges(priced))


async def _settle_late(
    tx: Transaction,
    workspace_id: bytes,
    month: date,
    group: Sequence[Reported],
    verdict: Verdict,
    now: datetime,
) -> None:
    """Keep records of an archived month without a charge, unless they came in time before."""
    if await read_wallet(tx, workspace_id) is None:
        _refuse_all(group, verdict)
        return
    candidates = _first_of_each(group, verdict, late=True)
    await store.hold_late(tx, month)
    in_time = await store.stored_hashes(
        tx, "usage_record", [each.record.request_id for _, each in candidates]
    )
    archived = await store.archived_late(tx, [each.record.request_id for _, each in candidates])
    unseen = []
    for reported, priced in candidates:
        if priced.record.request_id in archived:
            # Kept before, and in a file by now: its row may be gone.
            continue
        stored = in_time.get(priced.record.request_id)
        if stored is None:
            unseen.append((reported, priced))
        elif stored != priced.record.content_hash():
            verdict.refuse(reported, ErrorReason.ERROR_REASON_RECORD_CONFLICT)
    settlement_id = settlement.new_settlement_id(now, None)
    new = await _insert(tx, "usage_late", unseen, settlement_id, verdict, now)
    if new:
        priced_records = [each for _, each in new]
        await settlement.waive_late(
            tx,
            workspace_id,
            txn_id=settlement_id,
            proof=_proof(month, priced_records),
            amount=sum(each.waived for each in priced_records),
            now=now,
        )
        verdict.alarms.extend(_alarm("record_late", reported) for reported, _ in new)


async def _post(
    tx: Transaction,
    wallet: Wallet,
    month: date,
    priced: Sequence[PricedRecord],
    settlement_id: bytes,
    now: datetime,
) -> None:
    charges = [
        Charge(each.edge_id, each.epoch, from_micros(each.record.started_at_micros), each.charge)
        for each in priced
    ]
    crashed = WaiveReason.WAIVE_REASON_EDGE_CRASH
    await settlement.settle(
        tx,
        wallet,
        charges,
        txn_id=settlement_id,
        proof=_proof(month, priced),
        unbillable=sum(each.waived for each in priced if each.waive_reason == crashed),
        now=now,
    )


async def _insert(
    tx: Transaction,
    table: UsageTable,
    candidates: Sequence[tuple[Reported, PricedRecord]],
    settlement_id: bytes,
    verdict: Verdict,
    now: datetime,
) -> list[tuple[Reported, PricedRecord]]:
    """Insert records and return the new ones by id; a known id with other content is refused."""
    if not candidates:
        return []
    rows = [priced for _, priced in candidates]
    inserted = await store.insert_records(tx, table, rows, settlement_id, now)
    known = [each for each in candidates if each[1].record.request_id not in inserted]
    hashes = await store.stored_hashes(tx, table, [each.record.request_id for _, each in known])
    for reported, priced in known:
        if hashes.get(priced.record.request_id) != priced.content_hash:
            verdict.refuse(reported, ErrorReason.ERROR_REASON_RECORD_CONFLICT)
    return [each for each in candidates if each[1].record.request_id in inserted]


def _first_of_each(
    group: Sequence[Reported], verdict: Verdict, *, late: bool
) -> list[tuple[Reported, PricedRecord]]:
    """Price each id once, in the order of the ids; a second one must say the same."""
    found: dict[bytes, tuple[Reported, PricedRecord]] = {}
    for reported in group:
        priced = _priced(reported, late=late)
        first = found.setdefault(reported.record.request_id, (reported, priced))
        if first[1].content_hash != priced.content_hash:
            verdict.refuse(reported, ErrorReason.ERROR_REASON_RECORD_CONFLICT)
    return [found[identifier] for identifier in sorted(found)]


def _priced(reported: Reported, *, late: bool) -> PricedRecord:
    waived_as = WaiveReason.WAIVE_REASON_LATE if late else None
    return PricedRecord(
        record=reported.record,
        edge_id=reported.edge_id,
        epoch=reported.epoch,
        sequence=reported.sequence,
        figure=reported.figure,
        late=late,
        content_hash=reported.record.content_hash(waived_as),
    )


def _compare_figures(new: Iterable[tuple[Reported, PricedRecord]], verdict: Verdict) -> None:
    """Alarm where the edge computed another charge than core: core's counts."""
    for reported, priced in new:
        if reported.edge_figure != priced.charge:
            alarm = _alarm("charge_mismatch", reported, priced.charge, reported.edge_figure)
            verdict.alarms.append(alarm)


def _refuse_all(group: Iterable[Reported], verdict: Verdict) -> None:
    for reported in group:
        verdict.refuse(reported, ErrorReason.ERROR_REASON_RECORD_INVALID)


def _proof(month: date, priced: Sequence[PricedRecord]) -> RecordsProof:
    return RecordsProof(month, root([each.leaf for each in priced]), len(priced))


def _rolled_up(priced: Iterable[PricedRecord]) -> Rollup:
    rollup = Rollup()
    for each in priced:
        rollup.add(each)
    return rollup


def _charges(priced: Iterable[PricedRecord]) -> spend.Charges:
    charges = spend.Charges()
    for each in priced:
        record = each.record
        charges.add(record.key_id, each.edge_id, each.epoch, record.request_id, each.charge)
    return charges


def _alarm(kind: str, reported: Reported, expected: int = 0, found: int = 0) -> Alarm:
    identifier = reported.record.request_id
    object_id = format_id("req", identifier) if len(identifier) == 16 else ""
    return Alarm(kind, reported.edge_id, reported.epoch, object_id, expected, found)

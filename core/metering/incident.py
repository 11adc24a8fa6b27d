"""What is known of one request, recorded or not, gathered in one moment of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from core.db.database import Transaction
from core.metering import incident_store, usage_store
from core.metering.model import ATTEMPT_NUMBERS, FUTURE_MS_MAX
from core.metering.partitions import read_archived_before
from kit.clock import from_micros, to_micros
from kit.ids import format_id, unix_ms_of
from oneapi.metering.v1.incident_service_pb2 import Standing
from oneapi.metering.v1.usage_record_pb2 import WaiveReason

_NEVER: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Incident:
    """The rows that name a request."""

    request_id: bytes
    standing: Standing.ValueType
    minted_at: datetime
    archived_before: date
    usage: Any | None
    alarms: Sequence[Any]
    claim: Any | None
    process: Any | None
    attempt_upstreams: Sequence[str]


async def gather(tx: Transaction, request_id: bytes, now: datetime) -> Incident:
    """Read everything that names a request."""
    usage = await usage_store.get_usage(tx, request_id)
    claim = await incident_store.claim_of(tx, request_id)
    own = await incident_store.alarms_of_request(tx, format_id("req", request_id))
    place = _place(usage, own, claim)
    process, spool_alarms = None, []
    if place is not None:
        process = await incident_store.process_of(tx, *place)
        spool_alarms = list(await incident_store.alarms_of_spool(tx, *place))
    archived_before = await read_archived_before(tx) or _NEVER
    minted = from_micros(unix_ms_of(request_id) * 1_000)
    return Incident(
        request_id=request_id,
        standing=standing_of(
            usage, minted, now, archived_before, alarmed=bool(own), claimed=claim is not None
        ),
        minted_at=minted,
        archived_before=archived_before,
        usage=usage,
        alarms=[*own, *spool_alarms],
        claim=claim,
        process=process,
        attempt_upstreams=await _attempt_upstreams(tx, usage),
    )


def standing_of(
    usage: Any | None,
    minted: datetime,
    now: datetime,
    archived_before: date,
    *,
    alarmed: bool,
    claimed: bool,
) -> Standing.ValueType:
    """Return where a request stands."""
    if usage is not None:
        late = usage.waive_reason == WaiveReason.WAIVE_REASON_LATE
        return Standing.STANDING_LATE if late else Standing.STANDING_RECORDED
    if alarmed:
        return Standing.STANDING_REFUSED
    if to_micros(minted) > to_micros(now) + FUTURE_MS_MAX * 1_000:
        return Standing.STANDING_FUTURE
    if minted.date() < archived_before:
        return Standing.STANDING_ARCHIVED
    return Standing.STANDING_CLAIMED if claimed else Standing.STANDING_UNHEARD


async def _attempt_upstreams(tx: Transaction, usage: Any) -> list[str]:
    numbers = [] if usage is None else usage.attempts[::ATTEMPT_NUMBERS]
    names = await incident_store.upstream_names(tx, numbers) if numbers else {}
    return [names.get(number, "") for number in numbers]


def _place(usage: Any, alarms: Sequence[Any], claim: Any) -> tuple[int, int] | None:
    """Return the edge and epoch that a request was at, as far as anything says so."""
    for row in (usage, *alarms, claim):
        if row is not None and row.edge_id:
            return int(row.edge_id), int(row.epoch)
    return None

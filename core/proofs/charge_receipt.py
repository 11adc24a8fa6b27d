"""Makes the signed receipt of one request's charge; `kit/charge_receipt.py` checks it offline."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.ledger.model import Entry, Posting
from core.metering import usage_store
from core.metering.prices import read_prices
from core.metering.proofs import QUANTITY_COLUMNS
from core.platform_key import PlatformKey
from kit.canonical import Canonical, encode, record_leaf
from kit.charge import Price, Quantities
from kit.charge_receipt import DIMENSION_NAMES, FORMAT, LATE_WAIVER
from kit.clock import to_micros
from kit.ids import format_id
from kit.merkle import inclusion_proof
from kit.money import format_dollars
from kit.reasons import NotFound
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1.usage_record_pb2 import WaiveReason

_SETTLEMENT: Final = """
SELECT t.id, t.workspace_id, t.kind, t.business_key, t.content_hash, t.effective_at, t.created_at,
       t.actor, t.usage_month, t.records_root, t.record_count, l.sequence, l.previous_hash, l.hash,
       l.posted_after, l.held_after, l.frozen_after, l.receivable_after
  FROM ledger_txn AS t LEFT JOIN wallet_log AS l ON l.txn_id = t.id
 WHERE t.id = :id
"""
_ENTRIES: Final = """
SELECT account, workspace_id, grant_id, amount FROM ledger_entry
 WHERE txn_id = :id ORDER BY position
"""
_LEAVES: Final = {
    table: f"SELECT id, price_version, charge_nanos, {', '.join(QUANTITY_COLUMNS)}"  # noqa: S608 - constants
    f" FROM {table} WHERE settlement_id = :id ORDER BY id"
    for table in ("usage_record", "usage_late")
}


async def charge_receipt(
    tx: Transaction, key: PlatformKey, request_id: bytes, workspace_id: bytes | None
) -> bytes:
    """Return the receipt of a request's charge as JSON; the same bytes until the key is replaced.

    With `workspace_id` only that workspace's requests exist. Records that are in the archive only
    have no receipt here.

    Raises:
        NotFound: no such record.
    """
    record = await usage_store.get_usage(tx, request_id)
    if record is None or workspace_id not in {None, record.workspace_id.bytes}:
        raise NotFound(request_id=format_id("req", request_id))
    settlement = await tx.one(_SETTLEMENT, id=record.settlement_id)
    prices = await read_prices(tx, [record.price_version])
    if settlement is None or record.price_version not in prices:
        # The proofs find both; a receipt of it would prove nothing.
        raise LookupError("a record without its settlement or price")
    receipt: dict[str, Canonical] = {
        "format": FORMAT,
        **_record(record),
        "price": _price(prices[record.price_version]),
        "leaf": _leaf(record),
        "inclusion": await _inclusion(tx, settlement, record.id),
        "transaction": _posting(settlement, await tx.all(_ENTRIES, id=settlement.id)).payload(),
        "content_hash": settlement.content_hash,
        "link": _link(settlement),
    }
    signature = key.sign(FORMAT, receipt)
    return encode(
        {
            "receipt": receipt,
            "signature": {
                "algorithm": "Ed25519",
                "key_id": signature.key_id,
                "value": signature.value,
            },
        }
    )


def _record(row: Row[Any]) -> dict[str, Canonical]:
    return {
        "request_id": format_id("req", row.id.bytes),
        "workspace_id": format_id("ws", row.workspace_id.bytes),
        "settlement_id": format_id("txn", row.settlement_id.bytes),
        "model": row.model,
        "lane": _word(Lane.Name(row.served_lane), "LANE_"),
        "accepted_at": to_micros(row.started_at),
        "quantities": dict(zip(DIMENSION_NAMES, _quantities(row), strict=True)),
        "charge": format_dollars(row.charge_nanos),
        "charge_nanos": row.charge_nanos,
        "waived_nanos": row.waived_nanos,
        "waive_reason": _word(WaiveReason.Name(row.waive_reason), "WAIVE_REASON_")
        if row.waive_reason
        else "",
    }


def _price(price: Price) -> dict[str, Canonical]:
    return {
        "version": price.number,
        "effective_from": price.effective_from_micros,
        "tiers": [
            {
                "above_context_tokens": tier.above_context_tokens,
                "rates": dict(zip(DIMENSION_NAMES, tier.rates, strict=True)),
            }
            for tier in price.tiers
        ],
    }


async def _inclusion(tx: Transaction, settlement: Row[Any], record_id: Any) -> dict[str, Canonical]:
    table = "usage_late" if settlement.kind == LATE_WAIVER else "usage_record"
    rows = await tx.all(_LEAVES[table], id=settlement.id)
    index = next(place for place, row in enumerate(rows) if row.id == record_id)
    return {
        "index": index,
        "size": len(rows),
        "path": inclusion_proof([_leaf(row) for row in rows], index),
    }


def _leaf(row: Row[Any]) -> bytes:
    return record_leaf(row.id.bytes, row.price_version, _quantities(row), row.charge_nanos)


def _quantities(row: Row[Any]) -> Quantities:
    return tuple(getattr(row, name) for name in QUANTITY_COLUMNS)


def _posting(row: Row[Any], entries: list[Row[Any]]) -> Posting:
    return Posting(
        txn_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        kind=row.kind,
        business_key=row.business_key,
        entries=tuple(
            Entry(each.account, each.amount, _bytes(each.workspace_id), _bytes(each.grant_id))
            for each in entries
        ),
        effective_at=row.effective_at,
        created_at=row.created_at,
        actor=row.actor,
        usage_month=row.usage_month,
        records_root=row.records_root,
        record_count=row.record_count,
    )


def _link(row: Row[Any]) -> dict[str, Canonical] | None:
    if row.sequence is None:
        return None
    return {
        "sequence": row.sequence,
        "previous_hash": row.previous_hash,
        "hash": row.hash,
        "posted_after": row.posted_after,
        "held_after": row.held_after,
        "frozen_after": row.frozen_after,
        "receivable_after": row.receivable_after,
    }


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value.bytes)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()

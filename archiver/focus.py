"""The cost files of a workspace's month: FOCUS 1.2, as Parquet and as CSV.

A row of usage is a day of one key, model, lane and price version. Credit is prepaid: what is paid
is the purchase (BilledCost), what is used is EffectiveCost, so that neither counts twice. Whoever
sums EffectiveCost of usage has, to the last unit, the charges of the usage files.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archiver.calendar import end_of, start_of
from archiver.columns import QUANTITIES
from archiver.export import ZSTD_LEVEL, HashingSink
from archiver.focus_columns import COST_SCHEMA, COUNTED, DECIMAL, TIME, counted_name
from archiver.focus_rules import check
from archiver.model import Draft
from archiver.totals import rows_of
from kit.ids import format_id
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

PARTIAL_ROWS_MAX: Final = 200_000
"""Sums of parts of the month that are kept before they are added up."""
CSV_ROWS: Final = 10_000
"""Rows that are made text at once."""
_ZERO: Final = Decimal(0)
NANO_DIGITS: Final = 9
_DAY: Final = timedelta(days=1)
_BY: Final = ["day", "key_id", "model", "served_lane", "price_version"]
_SUMMED: Final = [*QUANTITIES, "charge", "waived"]
_READ: Final = ["started_at", *_BY[1:], *_SUMMED]
_SERVICE: Final = {
    "BillingAccountType": "Workspace",
    "BillingCurrency": "USD",
    "InvoiceIssuerName": "1API Club",
    "ProviderName": "1API Club",
    "PublisherName": "1API Club",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "1API Club",
    "ServiceSubcategory": "Generative AI",
}
_CATEGORIES: Final = {
    "purchase": "Purchase",
    "refund": "Purchase",
    "credit": "Credit",
    "adjustment": "Adjustment",
    "tax": "Tax",
}
_PAID: Final = frozenset({"purchase", "refund", "tax"})
"""Where money changed hands, not only credit."""
Row = dict[str, Any]


class BillingNotUnderstood(ValueError):
    """Core's billing has a category that this version does not know; carries none of it."""


class FocusFiles:
    """Writes cost files; one workspace's sums are in memory, never its requests."""

    def write(
        self, workspace_id: bytes, month: date, usage: list[Path], billing: Any, folder: Path
    ) -> list[Draft]:
        """Return the two files of a month, none if nothing was used, bought or given.

        Raises:
            BillingNotUnderstood: a category that this version does not know.
            CostsBreakRule: a row would not be FOCUS.
            ObjectDamaged: a usage file has changed.
            OSError: the disk is full.
        """
        rows = [*_usage_rows(month, usage), *_billing_rows(billing)]
        if not rows:
            return []
        costs = _table(workspace_id, month, rows)
        check(costs)
        return [_parquet(costs, folder / "costs.parquet"), _csv(costs, folder / "costs.csv.gz")]


def _usage_rows(month: date, usage: Sequence[Path]) -> Iterator[Row]:
    sums = _summed(month, usage)
    for row in sums.to_pylist() if sums is not None else ():
        lane = row["served_lane"] or "default"
        sku = f"{row['model']}/{lane}"
        requests = Decimal(row["requests"])
        list_cost = row["charge"] + row["waived"]
        is_known_key = any(row["key_id"])
        yield {
            "BilledCost": _ZERO,
            "ChargeCategory": "Usage",
            "ChargeDescription": f"Requests to {row['model']} in lane {lane}",
            "ChargeFrequency": "Usage-Based",
            "ChargePeriodStart": row["day"],
            "ConsumedQuantity": requests,
            "ConsumedUnit": "Requests",
            "ContractedCost": list_cost,
            "EffectiveCost": row["charge"],
            "ListCost": list_cost,
            "PricingCategory": "Standard",
            "PricingQuantity": requests,
            "PricingUnit": "Requests",
            "ResourceId": format_id("key", row["key_id"]) if is_known_key else None,
            "ResourceType": "API Key" if is_known_key else None,
            "SkuId": sku,
            "SkuMeter": "Requests",
            "SkuPriceId": f"{sku}/{row['price_version']}",
            "x_CreditAmount": -row["charge"],
            "x_Lane": lane,
            "x_Model": row["model"],
            "x_WaivedCost": row["waived"],
            **{counted_name(name): row[name] for name in COUNTED},
        }


def _summed(month: date, usage: Sequence[Path]) -> pa.Table | None:
    """Return the sums of all usage files, in order; None if there is no request."""
    partial: list[pa.Table] = []
    for path in usage:
        for batch in rows_of(path, _READ):
            if batch.num_rows:
                partial.append(_sums_of(_by_day(month, batch)))
            if sum(each.num_rows for each in partial) > PARTIAL_ROWS_MAX:
                partial = [_sums_of(pa.concat_tables(partial))]
    if not partial:
        return None
    return _sums_of(pa.concat_tables(partial)).sort_by([(name, "ascending") for name in _BY])


def _by_day(month: date, batch: pa.RecordBatch) -> pa.Table:
    """Return what is summed, with its day, which never lies outside of the month."""
    day = pc.floor_temporal(batch.column("started_at"), unit="day")
    first, last = (pa.scalar(at, TIME) for at in (start_of(month), end_of(month) - _DAY))
    day = pc.if_else(pc.greater(day, last), last, day)
    day = pc.if_else(pc.less(day, first), first, day)
    key = batch.column("key_id").storage.cast(pa.binary())
    found = {"day": day, "key_id": key}
    return pa.table(found | {name: batch.column(name) for name in (*_BY[2:], *_SUMMED)})


def _sums_of(rows: pa.Table) -> pa.Table:
    sums = rows.group_by(_BY).aggregate([(name, "sum") for name in _SUMMED])
    named = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    for name in ("charge", "waived"):
        place = named.schema.get_field_index(name)
        named = named.set_column(place, name, named.column(name).cast(DECIMAL))
    return named.select([*_BY, *_SUMMED])


def _billing_rows(billing: pa.Table | None) -> Iterator[Row]:
    rows = billing.to_pylist() if billing is not None else []
    bought = {row["grant_id"] for row in rows if row["category"] == "purchase"} - {None}
    for row in rows:
        yield _billing_row(row, is_of_month=row["grant_id"] in bought)


def _billing_row(row: Mapping[str, Any], *, is_of_month: bool) -> Row:
    """Return a row; only what changes the purchase of an earlier month is a Correction."""
    word = row["category"]
    if word not in _CATEGORIES:
        raise BillingNotUnderstood
    amount = Decimal(row["amount_nanos"]).scaleb(-NANO_DIGITS)
    paid = amount if word in _PAID else _ZERO
    is_correction = word == "refund" and not is_of_month
    found: Row = {
        "BilledCost": paid,
        "ChargeCategory": _CATEGORIES[word],
        "ChargeClass": "Correction" if is_correction else None,
        "ChargeDescription": _described(word),
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": row["posted_at"].replace(hour=0, minute=0, second=0, microsecond=0),
        "ContractedCost": paid,
        "EffectiveCost": paid if word == "tax" else _ZERO,
        "InvoiceId": row["document"],
        "ListCost": paid,
        "x_CreditAmount": _ZERO if word == "tax" else amount,
        "x_Kind": row["kind"],
        "x_TransactionId": format_id("txn", row["transaction_id"].bytes),
    }
    is_priced = word in {"purchase", "refund"} and not is_correction
    return found | (_credit_sku(amount) if is_priced else {})


def _credit_sku(amount: Decimal) -> Row:
    return {
        "PricingCategory": "Standard",
        "PricingQuantity": amount,
        "PricingUnit": "Credits",
        "SkuId": "credit",
        "SkuMeter": "Credits",
        "SkuPriceId": "credit/1",
    }


def _described(word: str) -> str:
    return {
        "purchase": "Credit bought",
        "refund": "Payment given back",
        "credit": "Credit given",
        "adjustment": "Credit corrected or expired",
        "tax": "Tax on credit bought",
    }[word]


def _table(workspace_id: bytes, month: date, rows: Iterable[Row]) -> pa.Table:
    whole = _SERVICE | {
        "BillingAccountId": format_id("ws", workspace_id),
        "BillingPeriodStart": start_of(month),
        "BillingPeriodEnd": end_of(month),
    }
    filled = [whole | row | {"ChargePeriodEnd": _day_after(row)} for row in rows]
    return pa.Table.from_pylist(filled, schema=COST_SCHEMA)


def _day_after(row: Row) -> datetime:
    start: datetime = row["ChargePeriodStart"]
    return start + _DAY


def _parquet(costs: pa.Table, path: Path) -> Draft:
    sink = HashingSink(path)
    pq.write_table(
        costs,
        pa.PythonFile(sink, mode="w"),
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        version="2.6",
        write_page_index=True,
        write_page_checksum=True,
        store_decimal_as_integer=True,
    )
    return _finished(ArchiveFile.KIND_FOCUS_PARQUET, costs, sink, path)


def _csv(costs: pa.Table, path: Path) -> Draft:
    sink = HashingSink(path)
    # No name and no time in the header: the same rows give the same bytes.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(costs.schema.names)
        for part in costs.to_batches(max_chunksize=CSV_ROWS):
            columns = [map(_as_text, column.to_pylist()) for column in part.columns]
            writer.writerows(zip(*columns, strict=True))
    return _finished(ArchiveFile.KIND_FOCUS_CSV, costs, sink, path)


def _as_text(value: Any) -> str:
    """Return a value as FOCUS writes it: a point in decimals, ISO 8601 with a T and a Z."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)


def _finished(
    kind: ArchiveFile.Kind.ValueType, costs: pa.Table, sink: HashingSink, path: Path
) -> Draft:
    sink.finish()
    return Draft(kind, path, costs.num_rows, sink.sha256, sink.size_bytes)

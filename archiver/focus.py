"""The cost files of a workspace's month: FOCUS 1.2, as Parquet and as CSV.

A row of usage is a day of one key, model, lane, price and meter. Credit is prepaid: what is paid
is the purchase (BilledCost), what is used is EffectiveCost, so that neither counts twice. Whoever
sums EffectiveCost of usage has, to the last unit, the charges of the usage files.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archiver.calendar import end_of, start_of
from archiver.columns import QUANTITIES, ExportNotUnderstood
from archiver.export import ZSTD_LEVEL, HashingSink
from archiver.focus_columns import COST_SCHEMA, DECIMAL, TIME
from archiver.focus_csv import HEADER, csv_lines
from archiver.focus_meters import (
    IS_WAIVED,
    METERS,
    PRICED_UNITS,
    TIER,
    UNPRICED,
    Tiers,
    by_meter,
    tier_of,
    whole,
)
from archiver.focus_rules import check
from archiver.focus_table import Coded, Column, Costs, Scaled, coded, together
from archiver.model import Draft
from archiver.totals import rows_of
from kit.charge import PriceTier
from kit.clock import EPOCH
from kit.ids import format_id
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

PARTIAL_ROWS: Final = 16_384
"""Sums of parts of the month that are kept before they are added up; more if there are so many."""
SUMS_AT_ONCE: Final = 4_096
"""Sums whose rows, one for each meter that was used, are made and written at once: a row group."""
CSV_ROWS: Final = 4_096
"""Rows that are made text at once."""
GZIP_LEVEL: Final = 2
"""A third of the time of the usual 6, for files that are larger by a sixth to a third."""
_ZERO: Final = Decimal(0)
_ONE_DOLLAR: Final = Decimal(1)
NANO_DIGITS: Final = 9
MILLION_DIGITS: Final = 6
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_PLAIN: Final = ["model", "served_lane", "price_version"]
_BY: Final = ["day", "key_id", *_PLAIN, TIER, IS_WAIVED]
_SUMMED: Final = [*QUANTITIES, "charge", "waived"]
_READ: Final = ["started_at", "key_id", *_PLAIN, "waive_reason", *_SUMMED]
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
_USAGE: Final = {
    "BilledCost": _ZERO,
    "ChargeCategory": "Usage",
    "ChargeFrequency": "Usage-Based",
    "PricingCategory": "Standard",
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


class BillingNotUnderstood(ExportNotUnderstood):
    """Core's billing has a category that this version does not know; carries none of it."""


class FocusFiles:
    """Writes cost files; one workspace's sums are in memory, never its requests."""

    def __init__(self) -> None:
        """Know no price yet."""
        self._tiers: dict[int, tuple[PriceTier, ...]] = {}

    def know(self, tiers: Tiers) -> None:
        """Remember price versions: they are immutable."""
        self._tiers.update(tiers)

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
        files: list[_File] = []
        try:
            for costs in _costs(workspace_id, month, usage, billing, self._tiers):
                if not costs.rows:  # requests that failed and used nothing
                    continue
                table = costs.table()
                check(table)
                files = files or [_Parquet(folder / "costs.parquet"), _Csv(folder / "costs.csv.gz")]
                for file in files:
                    file.add(costs, table)
            return [file.finish() for file in files]
        finally:
            for file in files:
                file.close()


def _costs(
    workspace_id: bytes,
    month: date,
    usage: Sequence[Path],
    billing: pa.Table | None,
    tiers: Tiers,
) -> Iterator[Costs]:
    """Yield the rows of a month, so many at once; the same rows are parted in the same way."""
    same = _SERVICE | {
        "BillingAccountId": format_id("ws", workspace_id),
        "BillingPeriodStart": start_of(month),
        "BillingPeriodEnd": end_of(month),
    }
    sums = _summed(month, usage, tiers)
    if sums is not None:
        for start in range(0, sums.num_rows, SUMS_AT_ONCE):
            some = sums.slice(start, SUMS_AT_ONCE).combine_chunks()
            yield _usage_costs(same, some, tiers)
    rows = list(_billing_rows(billing))
    for start in range(0, len(rows), SUMS_AT_ONCE):
        yield Costs.of_rows(rows[start : start + SUMS_AT_ONCE], same)


class _Sku(NamedTuple):
    """What rows of one price and meter have in common."""

    lane: str
    model: str
    version: int
    tier: int
    meter: int

    @classmethod
    def of(cls, price: tuple[Any, ...], meter: int) -> Self:
        lane, model, version, tier = price
        return cls(lane, model, version, tier, meter)

    @property
    def name(self) -> str:
        return f"{self.model}/{self.lane}"

    @property
    def words(self) -> tuple[str, str, str]:
        """Return the meter's name, what it counts, and for how many its price is."""
        if self.meter == UNPRICED:
            return "Usage", "Requests", "Charges"
        meter = METERS[self.meter]
        return meter.name, meter.unit, f"{PRICED_UNITS} {meter.unit}"

    def texts(self) -> Row:
        """Return the columns that are told by it."""
        name, consumed, priced = self.words
        word = name.lower().replace(" ", "-")
        return {
            "ChargeDescription": f"{name} of {self.model} in lane {self.lane}",
            "ConsumedUnit": consumed,
            "PricingUnit": priced,
            "SkuId": self.name,
            "SkuMeter": name,
            "SkuPriceId": f"{self.name}/{self.version}/{self.tier}/{word}",
            "x_Lane": self.lane,
            "x_Model": self.model,
        }


def _usage_costs(same: Row, sums: pa.Table, tiers: Tiers) -> Costs:
    """Return the rows of usage that sums make: a column at a time, for there may be many."""
    meters = by_meter(sums, tiers)
    row, share = whole(meters, "row"), whole(meters, "share")
    is_waived = whole(sums, IS_WAIVED).take(row)
    charged = pc.if_else(is_waived, 0, share)
    cost = Scaled(whole(meters, "cost"), NANO_DIGITS)
    rate = Scaled(whole(meters, "rate"), NANO_DIGITS)
    keys = coded(whole(sums, "key_id"), _key_text)
    key = keys.indices.take(row)
    days = whole(sums, "day").dictionary_encode()
    starts = pc.multiply(days.dictionary, _DAY // _MICROSECOND).cast(TIME)
    day = days.indices.take(row)
    columns: dict[str, Column] = {
        **_priced(meters),
        **_skus(sums, meters),
        "ChargePeriodStart": Coded(starts, day),
        "ChargePeriodEnd": Coded(pc.add(starts, pa.scalar(_DAY, pa.duration("us"))), day),
        "ContractedCost": cost,
        "ContractedUnitPrice": rate,
        "EffectiveCost": Scaled(charged, NANO_DIGITS),
        "ListCost": cost,
        "ListUnitPrice": rate,
        "ResourceId": Coded(keys.values, key),
        "ResourceType": Coded(_if_any(keys.values, "API Key"), key),
        "x_CreditAmount": Scaled(pc.negate(charged), NANO_DIGITS),
        "x_WaivedCost": Scaled(pc.if_else(is_waived, share, 0), NANO_DIGITS),
    }
    return Costs(meters.num_rows, same | _USAGE, columns)


def _if_any(values: pa.Array, word: str) -> pa.Array:
    return pc.if_else(pc.is_valid(values), word, pa.scalar(None, pa.string()))


def _priced(meters: pa.Table) -> dict[str, Column]:
    """Return how much was counted, and how many times what has a price; once if it has none."""
    quantity = whole(meters, "quantity")
    is_unpriced = pc.equal(whole(meters, "meter"), UNPRICED)
    counted = pc.if_else(is_unpriced, PRICED_UNITS, quantity)
    return {
        "ConsumedQuantity": Scaled(quantity, 0),
        "PricingQuantity": Scaled(counted, MILLION_DIGITS),
    }


def _skus(sums: pa.Table, meters: pa.Table) -> dict[str, Column]:
    """Return the columns that price and meter tell, each text made once."""
    lanes = pc.fill_null(whole(sums, "served_lane"), "default")
    others = (whole(sums, name) for name in ("model", "price_version", TIER))
    prices, price = together(lanes, *others)
    skus, indices = together(price.take(whole(meters, "row")), whole(meters, "meter"))
    texts = [_Sku.of(prices[place], meter).texts() for place, meter in skus]
    names = texts[0] if texts else ()
    return {
        name: Coded(pa.array([each[name] for each in texts], pa.string()), indices)
        for name in names
    }


def _key_text(key_id: bytes | None) -> str | None:
    """Return a key's id, None where it was erased or none was used."""
    return format_id("key", key_id) if key_id and any(key_id) else None


def _summed(month: date, usage: Sequence[Path], tiers: Tiers) -> pa.Table | None:
    """Return the sums of all usage files, in order; None if there is no request."""
    partial: list[pa.Table] = []
    limit = PARTIAL_ROWS
    for path in usage:
        for batch in rows_of(path, _READ):
            if batch.num_rows:
                partial.append(_sums_of(_by_day(month, batch, tiers)))
            if sum(each.num_rows for each in partial) > limit:
                partial = [_sums_of(pa.concat_tables(partial))]
                limit = max(PARTIAL_ROWS, 2 * partial[0].num_rows)
    if not partial:
        return None
    return _sums_of(pa.concat_tables(partial)).sort_by([(name, "ascending") for name in _BY])


def _by_day(month: date, batch: pa.RecordBatch, tiers: Tiers) -> pa.Table:
    """Return what is summed, with its day since 1970, which never lies outside of the month."""
    first, last = ((at - EPOCH) // _DAY for at in (start_of(month), end_of(month) - _DAY))
    day = pc.divide(batch.column("started_at").cast(pa.int64()), _DAY // _MICROSECOND)
    day = pc.max_element_wise(pc.min_element_wise(day, last), first)
    found = {"day": day, "key_id": batch.column("key_id").storage}
    found |= {name: batch.column(name) for name in (*_PLAIN, *_SUMMED)}
    is_waived = pc.is_valid(batch.column("waive_reason"))
    return pa.table(found | {TIER: tier_of(batch, tiers), IS_WAIVED: is_waived})


def _sums_of(rows: pa.Table) -> pa.Table:
    sums = rows.group_by(_BY, use_threads=False).aggregate([(name, "sum") for name in _SUMMED])
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
    start: datetime = row["posted_at"].replace(hour=0, minute=0, second=0, microsecond=0)
    found: Row = {
        "BilledCost": paid,
        "ChargeCategory": _CATEGORIES[word],
        "ChargeClass": "Correction" if is_correction else None,
        "ChargeDescription": _described(word),
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": start,
        "ChargePeriodEnd": start + _DAY,
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
        "ContractedUnitPrice": _ONE_DOLLAR,
        "ListUnitPrice": _ONE_DOLLAR,
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


class _File:
    """A cost file while it is written; its hash grows with it."""

    kind: ArchiveFile.Kind.ValueType

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink = HashingSink(path)
        self._rows = 0

    def add(self, costs: Costs, table: pa.Table) -> None:
        """Write more rows, which are told both ways."""
        del table
        self._rows += costs.rows

    def finish(self) -> Draft:
        """Write the end and return the file."""
        self.close()
        return Draft(self.kind, self._path, self._rows, self._sink.sha256, self._sink.size_bytes)

    def close(self) -> None:
        """Close the file, whole or not; a second time changes nothing."""
        self._sink.finish()


class _Parquet(_File):
    kind = ArchiveFile.KIND_FOCUS_PARQUET

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            COST_SCHEMA,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            version="2.6",
            write_page_index=True,
            write_page_checksum=True,
            store_decimal_as_integer=True,
        )

    def add(self, costs: Costs, table: pa.Table) -> None:
        super().add(costs, table)
        self._writer.write_table(table)

    def close(self) -> None:
        # It would be closed with the last reference to it, when its file is closed already.
        self._writer.close()
        super().close()


class _Csv(_File):
    kind = ArchiveFile.KIND_FOCUS_CSV

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # No name and no time in the header: the same rows give the same bytes.
        self._packed = gzip.GzipFile(
            filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=self._sink, mtime=0
        )
        self._packed.write(HEADER)

    def add(self, costs: Costs, table: pa.Table) -> None:
        super().add(costs, table)
        for start in range(0, costs.rows, CSV_ROWS):
            self._packed.write(csv_lines(costs.slice(start, CSV_ROWS)))

    def close(self) -> None:
        self._packed.close()
        super().close()

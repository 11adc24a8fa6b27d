"""Cost files: FOCUS by its rules, exact to the last unit, the same bytes for the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.focus import BillingNotUnderstood, FocusFiles
from archiver.focus_columns import COST_SCHEMA
from archiver.focus_csv import csv_lines
from archiver.focus_rules import CostsBreakRule, check, rules
from archiver.focus_table import Coded, Column, Costs, Scaled
from archiver.model import Draft
from archiver.store.errors import ObjectDamaged
from archiver.verify import read_totals
from kit.ids import format_id
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.support.archive_core import BILLING_SCHEMA
from tests.support.archive_rows import MONTH, Row, rows, workspace
from tests.support.archive_shelf import write

OWNER = workspace(1)
GRANT = uuid.UUID(int=7).bytes
DOLLAR = 1_000_000_000
OF_ONE_ROW = ("key_id", "model", "served_lane")


def bill(category: str, kind: str, amount: int, grant_id: bytes | None = None) -> Row:
    """One row of core's billing."""
    return {
        "workspace_id": OWNER,
        "transaction_id": uuid.UUID(int=abs(amount)).bytes,
        "posted_at": datetime(2026, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "kind": kind,
        "category": category,
        "grant_id": grant_id,
        "amount_nanos": amount,
        "document": "R-000001" if category in {"purchase", "tax"} else None,
    }


BILLING = [
    bill("purchase", "paid_grant", 20 * DOLLAR, GRANT),
    bill("tax", "paid_grant", 3_800_000_001, GRANT),
    bill("credit", "promo_grant", 5 * DOLLAR),
    bill("refund", "refund_sent", -4 * DOLLAR, GRANT),
    bill("refund", "dispute_lost", -9 * DOLLAR),
    bill("adjustment", "grant_expiry", -1),
]


def cost_files(
    folder: Path, found: list[Row], billing: list[Row] | None = None, parts: int = 1
) -> list[Draft]:
    """Write the cost files of usage in so many files, and of billing rows."""
    folder.mkdir()
    size = -(-len(found) // parts) or 1
    usage = [
        write(folder / f"usage-{start}.parquet", found[start : start + size]).path
        for start in range(0, len(found), size)
    ]
    table = None if billing is None else pa.Table.from_pylist(billing, BILLING_SCHEMA)
    return FocusFiles().write(OWNER, MONTH, usage, table, folder)


def costs_of(drafts: list[Draft]) -> pa.Table:
    """The rows of the Parquet file."""
    return pq.read_table(drafts[0].path, page_checksum_verification=True)


def total(costs: pa.Table, name: str, *categories: str) -> Decimal:
    """The sum of a column over some categories."""
    found = costs.to_pylist()
    chosen = [row[name] for row in found if row["ChargeCategory"] in categories]
    return sum(chosen, Decimal(0))


def test_usage_costs_add_up_to_what_the_usage_files_say(tmp_path: Path) -> None:
    """Charges and waivers, to the last unit; usage is never billed."""
    found = rows(OWNER, 3_000)
    costs = costs_of(cost_files(tmp_path / "x", found, BILLING))
    used = total(costs, "EffectiveCost", "Usage")
    assert used == Decimal(sum(row["charge_nanos"] for row in found)).scaleb(-9)
    waived = Decimal(sum(row["waived_nanos"] for row in found)).scaleb(-9)
    assert total(costs, "ListCost", "Usage") == used + waived
    assert total(costs, "x_WaivedCost", "Usage") == waived
    assert total(costs, "BilledCost", "Usage") == 0
    assert total(costs, "ConsumedQuantity", "Usage") == len(found)
    assert 0 < costs.num_rows < len(found)


def test_what_was_paid_is_billed_and_what_was_given_is_not(tmp_path: Path) -> None:
    """Cash in BilledCost, credit in x_CreditAmount; a refund of the same month is no Correction."""
    costs = costs_of(cost_files(tmp_path / "x", [], BILLING))
    assert total(costs, "BilledCost", "Purchase", "Tax") == Decimal("10.800000001")
    assert total(costs, "EffectiveCost", "Purchase", "Credit", "Adjustment") == 0
    assert total(costs, "EffectiveCost", "Tax") == Decimal("3.800000001")
    moved = total(costs, "x_CreditAmount", "Purchase", "Credit", "Adjustment", "Tax")
    assert moved == Decimal("11.999999999")
    classes = {row["x_Kind"]: row["ChargeClass"] for row in costs.to_pylist()}
    assert {kind for kind, name in classes.items() if name} == {"dispute_lost"}
    assert costs.column("InvoiceId").to_pylist() == ["R-000001"] * 2 + [None] * 4


def test_a_day_key_model_lane_and_price_is_one_row(tmp_path: Path) -> None:
    """However many files the month has, and in whatever order its sums were made."""
    found = rows(OWNER, 2_000)
    costs = costs_of(cost_files(tmp_path / "x", found))
    expected = {
        (*(row[name] for name in OF_ONE_ROW), row["started_at"].date(), row["waive_reason"] == 0)
        for row in found
    }
    assert costs.num_rows == len(expected)
    again = cost_files(tmp_path / "again", found)
    halves = cost_files(tmp_path / "halves", found, parts=2)
    hashes = [draft.sha256 for draft in cost_files(tmp_path / "first", found)]
    assert [draft.sha256 for draft in again] == [draft.sha256 for draft in halves] == hashes


def test_an_erased_key_is_no_resource(tmp_path: Path) -> None:
    """Its usage stays, without saying whose it was."""
    found = rows(OWNER, 20)
    for row in found[:10]:
        row["key_id"] = bytes(16)
    costs = costs_of(cost_files(tmp_path / "x", found)).to_pylist()
    erased = [row for row in costs if row["ResourceId"] is None]
    assert sum(row["ConsumedQuantity"] for row in erased) == 10
    assert {row["ResourceType"] for row in erased} == {None}
    named = {row["ResourceId"] for row in costs} - {None}
    assert named == {format_id("key", row["key_id"]) for row in found[10:]}


def test_a_clock_that_was_off_moves_no_cost_out_of_its_month(tmp_path: Path) -> None:
    """A record's month is that of its id; its start may lie a moment beside it."""
    found = rows(OWNER, 2)
    found[0]["started_at"] = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    found[1]["started_at"] = datetime(2026, 4, 1, tzinfo=UTC)
    days = costs_of(cost_files(tmp_path / "x", found)).column("ChargePeriodStart").to_pylist()
    assert [day.day for day in days] == [1, 31]
    assert {day.month for day in days} == {3}


def test_nothing_used_and_nothing_bought_is_no_file(tmp_path: Path) -> None:
    """Not even an empty one."""
    assert cost_files(tmp_path / "x", [], []) == []
    assert cost_files(tmp_path / "y", []) == []


def test_billing_of_an_unknown_category_is_refused(tmp_path: Path) -> None:
    """Better no file than one that leaves money out."""
    with pytest.raises(BillingNotUnderstood):
        cost_files(tmp_path / "x", [], [bill("bribe", "paid_grant", 1)])


def test_duckdb_pandas_and_csv_read_the_same_costs(tmp_path: Path) -> None:
    """Exact decimals in Parquet; CSV with a decimal point in each amount and ISO 8601 times."""
    parquet, text = cost_files(tmp_path / "x", rows(OWNER, 500), BILLING)
    assert (parquet.kind, text.kind) == (
        ArchiveFile.KIND_FOCUS_PARQUET,
        ArchiveFile.KIND_FOCUS_CSV,
    )
    exact = total(costs_of([parquet]), "EffectiveCost", "Usage", "Tax")
    query = f"SELECT sum(EffectiveCost) FROM '{parquet.path}'"
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [(exact,)]
    read: Any = pd.read_csv(text.path, dtype=str, keep_default_na=False)
    assert list(read.columns) == COST_SCHEMA.names
    assert sum(map(Decimal, read["EffectiveCost"]), Decimal(0)) == exact
    assert all("." in cost for cost in read["BilledCost"])
    assert read["ChargePeriodEnd"].iloc[-1] == "2026-04-01T00:00:00Z"
    assert gzip.decompress(text.path.read_bytes()).count(b"\n") == text.rows + 1 == len(read) + 1
    assert text.path.read_bytes()[4:8] == bytes(4)


def test_own_columns_come_behind_those_of_focus() -> None:
    """And say so by their names."""
    names = COST_SCHEMA.names
    own = [name for name in names if name.startswith("x_")]
    assert names[-len(own) :] == own
    assert {rule.column for rule in rules()} <= set(names) - set(own)


def broken(costs: pa.Table, column: str, value: Any) -> pa.Table:
    """The rows with one value in all of a column."""
    place = costs.schema.get_field_index(column)
    field = costs.schema.field(column)
    return costs.set_column(place, field, pa.array([value] * costs.num_rows, field.type))


@pytest.mark.parametrize(
    ("column", "value", "must"),
    [
        ("ServiceCategory", "Compute", "one_of"),
        ("BillingAccountId", None, "not_null"),
        ("EffectiveCost", Decimal(1), "zero"),
        ("BilledCost", Decimal(1), "zero"),
        ("ChargeFrequency", "Usage-Based", "not_one_of"),
        ("ChargePeriodStart", datetime(2026, 4, 1, tzinfo=UTC), "below"),
        ("ChargePeriodStart", datetime(2026, 2, 28, tzinfo=UTC), "not_below"),
        ("ConsumedQuantity", Decimal(1), "null"),
        ("ListCost", Decimal(123), "product"),
        ("SkuPriceId", None, "not_null"),
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, column: str, value: Any, must: str) -> None:
    """Rows as they are written pass; each of these changes is told by column and rule."""
    costs = costs_of(cost_files(tmp_path / "x", rows(OWNER, 50), BILLING))
    check(costs)
    with pytest.raises(CostsBreakRule) as caught:
        check(broken(costs, column, value))
    assert (caught.value.column, caught.value.must) == (column, must)


def test_a_damaged_usage_file_gives_no_costs(tmp_path: Path) -> None:
    """Its checksums are looked at again; what it adds up to is not believed."""
    draft = write(tmp_path / "usage.parquet", rows(OWNER, 300))
    assert read_totals(draft.path).records == 300
    content = bytearray(draft.path.read_bytes())
    content[len(content) // 3] ^= 1
    draft.path.write_bytes(content)
    with pytest.raises(ObjectDamaged):
        FocusFiles().write(OWNER, MONTH, [draft.path], None, tmp_path)


TEXTS = st.none() | st.text(st.sampled_from('ab",\n; é中'), max_size=6)
AMOUNTS = st.none() | st.integers(-(10**18), 10**18).map(lambda nanos: Decimal(nanos).scaleb(-9))
TIMES = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given apart
ODD_ROWS = st.fixed_dictionaries(
    {
        "InvoiceId": TEXTS,
        "x_Model": TEXTS,
        "BilledCost": AMOUNTS,
        "ListCost": AMOUNTS,
        "ChargePeriodStart": TIMES,
        "ConsumedQuantity": st.none() | st.integers(0, 10**18).map(Decimal),
        "PricingQuantity": st.none() | st.integers(0, 10**18).map(lambda n: Decimal(n).scaleb(-6)),
    }
)
PLACES = {"BilledCost": 9, "ListCost": 9, "ConsumedQuantity": 0, "PricingQuantity": 6}
CODED = sorted({"InvoiceId", "x_Model", *PLACES})
SAME = {"BillingAccountId": 'ws, "one"', "BillingPeriodStart": datetime(2026, 3, 1, tzinfo=UTC)}


@settings(max_examples=100, deadline=None)
@given(st.lists(ODD_ROWS, min_size=1, max_size=8), st.sets(st.sampled_from(CODED)))
def test_lines_are_those_of_the_standard_writer(found: list[Row], coded: set[str]) -> None:
    """Quotation marks where they are needed, amounts with all places, times with a Z."""
    plain = Costs.of_rows(found, SAME)
    costs = Costs(plain.rows, SAME, {**plain.columns, **coded_columns(found, coded)})
    table = costs.table()
    assert table.equals(plain.table())
    expected = io.StringIO()
    writer = csv.writer(expected, lineterminator="\n")
    for row in table.to_pylist():
        assert row["BillingAccountId"] == SAME["BillingAccountId"]
        writer.writerow(map(as_text, row.values()))
    assert bytes(csv_lines(costs)) == expected.getvalue().encode()
    lines = [bytes(csv_lines(costs.slice(place, 1))) for place in range(len(found))]
    assert b"".join(lines) == expected.getvalue().encode()


def coded_columns(found: list[Row], names: set[str]) -> dict[str, Column]:
    """The named columns by their different values, and amounts as whole nano-dollars."""
    texts = [name for name in ("InvoiceId", "x_Model") if name in names]
    both = sorted({(row["InvoiceId"], row["x_Model"]) for row in found}, key=repr)
    places = [both.index((row["InvoiceId"], row["x_Model"])) for row in found]
    indices = pa.array(places, pa.int32())
    columns: dict[str, Column] = {
        name: Coded(pa.array([pair[name == "x_Model"] for pair in both], pa.string()), indices)
        for name in texts
    }
    for name in names & PLACES.keys():
        scale = PLACES[name]
        units = [None if row[name] is None else int(row[name].scaleb(scale)) for row in found]
        columns[name] = Scaled(pa.array(units, pa.int64()), scale)
    return columns


def as_text(value: Any) -> str:
    """A value as FOCUS writes it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return "" if value is None else str(value)

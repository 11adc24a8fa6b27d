"""Usage files: documented columns, exact sums, the same bytes however the export was cut."""

from __future__ import annotations

import gc
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archiver.columns import (
    COLUMNS,
    FILE_SCHEMA,
    NAMES,
    QUANTITIES,
    ExportNotUnderstood,
    chosen,
    to_file,
)
from archiver.export import ROWS_PER_GROUP, Regrouper, UsageFile, read_ipc
from archiver.later import rewritten
from archiver.model import Draft
from archiver.store.errors import ObjectDamaged
from archiver.totals import Tally, combined, rows_of
from archiver.verify import NotProved, read_totals
from kit.clock import to_micros
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1.usage_service_pb2 import Usage
from tests.support.archive_rows import Row, batch, messages, rows, workspace

OURS = {"upstream", "attempts_omitted", "edge_id", "epoch"}
"""How we run the service: not of the customer's files."""


def write(path: Path, found: list[Row], rows_each: int = 1_000) -> Draft:
    """Write the rows of one workspace as its usage file."""
    file, regrouper = UsageFile(path), Regrouper()
    for message in messages(found, rows_each):
        for part in read_ipc(message):
            for group in regrouper.add(part):
                file.add(group.rows)
    for group in regrouper.end():
        file.add(group.rows)
    return file.finish()


def test_the_columns_are_those_of_the_contract_and_no_others() -> None:
    """Every field of `Usage`, its quantities flat, without what is ours."""
    fields = {field.name for field in Usage.DESCRIPTOR.fields} - OURS - {"quantities"}
    assert set(NAMES) == fields | {field.name for field in Quantities.DESCRIPTOR.fields}
    assert len(NAMES) == len(set(NAMES))


def test_no_column_can_hold_content() -> None:
    """Texts are words of enums, or the public model id."""
    texts = {column.name for column in COLUMNS if str(column.type) == "string"}
    assert {column.name for column in COLUMNS if column.words} == texts - {"model"}
    kinds = {str(column.type) for column in COLUMNS} - {"string"}
    assert kinds == {
        *("extension<arrow.uuid>", "timestamp[us, tz=UTC]", "decimal128(20, 9)"),
        *("bool", "int16", "int32", "int64"),
    }


def test_every_column_says_what_it_is(tmp_path: Path) -> None:
    """In the file itself, with its unit."""
    draft = write(tmp_path / "x.parquet", rows(workspace(1), 10))
    schema = pq.read_schema(draft.path)
    for field in schema:
        assert field.metadata[b"description"]
        assert (b"unit" in field.metadata) == (
            field.type.equals(FILE_SCHEMA.field("charge").type)
            or field.name in QUANTITIES
            or field.name.endswith("_ms")
        )
    assert schema.metadata[b"schema"] == b"usage/v1"


def test_the_same_rows_are_the_same_bytes_however_the_export_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one row, of many, and of all; over several row groups."""
    monkeypatch.setattr("archiver.export.ROWS_PER_GROUP", 64)
    found = rows(workspace(1), 300)
    drafts = [
        write(tmp_path / f"{number}.parquet", found, number) for number in (1, 7, 63, 64, 65, 300)
    ]
    assert len({draft.sha256 for draft in drafts}) == 1
    assert {draft.rows for draft in drafts} == {300}
    with pq.ParquetFile(drafts[0].path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(5)]
    assert sizes == [64, 64, 64, 64, 44]


def test_a_row_is_shown_as_its_record_is(tmp_path: Path) -> None:
    """Words, exact dollars, ids, and null where nothing is known or happened."""
    (row,) = rows(workspace(3), 1)
    row |= {
        "charge_nanos": 123_456_789_012_345_678,
        "waived_nanos": 0,
        "waive_reason": 0,
        "http_status": 0,
        "first_token_ms": 0,
        "served_lane": 3,
        "error_class": 0,
        "endpoint": 1,
    }
    draft = write(tmp_path / "x.parquet", [row])
    (shown,) = pq.read_table(draft.path).to_pylist()
    assert shown["request_id"].bytes == row["id"]
    assert shown["workspace_id"].bytes == workspace(3)
    assert shown["charge"] == Decimal("123456789.012345678")
    assert shown["started_at"] == row["started_at"]
    assert (shown["served_lane"], shown["endpoint"]) == ("coding", "chat_completions")
    for name in ("waive_reason", "http_status", "first_token_ms", "error_class"):
        assert shown[name] is None


def test_duckdb_and_pandas_read_exact_sums_and_times(tmp_path: Path) -> None:
    """As a customer's finance team would."""
    found = rows(workspace(1), 500)
    draft = write(tmp_path / "x.parquet", found)
    exact = Decimal(sum(row["charge_nanos"] for row in found)).scaleb(-9)
    sums = "sum(charge), epoch_us(min(started_at)), count(DISTINCT request_id)"
    query = f"SELECT {sums} FROM read_parquet(?)"
    with duckdb.connect() as connection:
        answer = connection.execute(query, [str(draft.path)]).fetchone()
        kinds = connection.execute(
            "SELECT typeof(request_id), typeof(charge), typeof(started_at) FROM read_parquet(?)",
            [str(draft.path)],
        ).fetchone()
    assert answer is not None
    assert answer[0] == exact
    assert answer[1] == to_micros(found[0]["started_at"])
    assert answer[2] == 500
    assert kinds == ("UUID", "DECIMAL(20,9)", "TIMESTAMP WITH TIME ZONE")
    frame = pd.read_parquet(draft.path, dtype_backend="pyarrow")
    assert frame["charge"].sum() == exact
    assert frame["started_at"].min().to_pydatetime() == found[0]["started_at"]


def test_totals_are_those_of_the_rows(tmp_path: Path) -> None:
    """Counts, sums, first and last id, and the hash of the ids."""
    found = rows(workspace(1), 400)
    totals = read_totals(write(tmp_path / "x.parquet", found).path)
    assert totals.records == 400
    assert (totals.first_id, totals.last_id) == (found[0]["id"], found[-1]["id"])
    assert totals.charge_nanos == sum(row["charge_nanos"] for row in found)
    assert totals.waived_nanos == sum(row["waived_nanos"] for row in found)
    assert totals.quantities == tuple(sum(row[name] for row in found) for name in QUANTITIES)
    other = read_totals(write(tmp_path / "y.parquet", rows(workspace(1), 400, seed=2)).path)
    assert other.ids_hash != totals.ids_hash
    both = combined([totals, other])
    assert both.records == 800
    assert both.charge_nanos == totals.charge_nanos + other.charge_nanos
    assert combined([totals]) == totals


def test_no_flipped_bit_is_read_as_data(tmp_path: Path) -> None:
    """Wherever it is: the file cannot be read, or its hash says so before."""
    draft = write(tmp_path / "x.parquet", rows(workspace(1), 200))
    whole, expected = draft.path.read_bytes(), read_totals(draft.path)
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        draft.path.write_bytes(damaged)
        try:
            # A bit of a footer's text or statistics changes no row.
            assert read_totals(draft.path) == expected
        except NotProved:
            refused += 1
    assert refused > 20


def test_a_file_without_a_key_has_the_row_groups_that_it_had(tmp_path: Path) -> None:
    """They are as large as before, however few rows are read at once elsewhere."""
    some = to_file(pa.Table.from_batches([batch(rows(workspace(1), 1_000))]))
    table = pa.concat_tables([some] * 40).combine_chunks()
    file = UsageFile(tmp_path / "with")
    file.add_converted(table.slice(0, ROWS_PER_GROUP))
    file.add_converted(table.slice(ROWS_PER_GROUP))
    written = file.finish()
    again = rewritten(written.path, tmp_path / "without", None)
    sizes = [groups_of(draft.path) for draft in (written, again)]
    assert sizes == [[ROWS_PER_GROUP, 40_000 - ROWS_PER_GROUP]] * 2


def groups_of(path: Path) -> list[int]:
    """How many rows each row group has."""
    found = pq.read_metadata(path)
    return [found.row_group(place).num_rows for place in range(found.num_row_groups)]


def test_a_file_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither on the disk nor to Arrow's writer, which would write to it once it is forgotten."""
    file = UsageFile(tmp_path / "given-up.parquet")
    file.add(pa.Table.from_batches([batch(rows(workspace(1), 3))]))
    file.abandon()
    assert list(tmp_path.iterdir()) == []
    faults: list[Any] = []
    sys.unraisablehook, usual = faults.append, sys.unraisablehook
    try:
        del file
        gc.collect()
    finally:
        sys.unraisablehook = usual
    assert faults == []


def test_workspaces_are_cut_where_they_end() -> None:
    """Several in one batch, and one over several batches."""
    found = [row for number in (1, 2, 4) for row in rows(workspace(number), 30 * number)]
    regrouper, groups = Regrouper(), []
    for message in messages(found, 50):
        for part in read_ipc(message):
            groups += list(regrouper.add(part))
    groups += list(regrouper.end())
    assert [(group.workspace_id, group.rows.num_rows, group.last) for group in groups] == [
        (workspace(1), 30, True),
        (workspace(2), 60, True),
        (workspace(4), 120, True),
    ]


def test_a_workspace_is_one_run_whatever_its_id() -> None:
    """Also with bytes above 127: cut row by row, a month would take hours."""
    for workspace_id in (b"\x00" * 16, b"\x7f" * 16, b"\x80" * 16, bytes(range(240, 256))):
        found = rows(workspace_id, 20)
        regrouper = Regrouper()
        list(regrouper.add(batch(found)))
        (group,) = regrouper.end()
        assert group.rows.column("id").num_chunks == 1


def test_workspaces_out_of_order_are_refused() -> None:
    """A second file of a workspace would take the place of the first."""
    regrouper = Regrouper()
    list(regrouper.add(batch(rows(workspace(2), 3))))
    with pytest.raises(ExportNotUnderstood):
        list(regrouper.add(batch(rows(workspace(1), 3))))


def test_ids_out_of_order_are_refused() -> None:
    """A record twice, or two in the wrong order."""
    found = rows(workspace(1), 5)
    for wrong in ([*found[:3], found[2]], [found[1], found[0]]):
        tally = Tally()
        (part,) = to_file(batch_table(wrong)).to_batches()
        with pytest.raises(ObjectDamaged):
            tally.add(part)


@pytest.mark.parametrize(
    "wrong", [{"outcome": 99}, {"served_lane": -1}, {"endpoint": 12_345}], ids=str
)
def test_a_number_without_a_word_is_refused(wrong: Row) -> None:
    """A newer core's: never written as something else."""
    (row,) = rows(workspace(1), 1)
    with pytest.raises(ExportNotUnderstood):
        to_file(batch_table([row | wrong]))


def test_an_export_with_other_columns_is_refused() -> None:
    """One that is missing, one of another type; a further one at the end is left out."""
    whole = batch(rows(workspace(1), 2))
    for wrong in (
        whole.drop_columns(["charge_nanos"]),
        whole.set_column(0, "id", whole.column("total_ms")),
    ):
        with pytest.raises(ExportNotUnderstood):
            chosen(wrong)
    more = whole.append_column("upstream", whole.column("model"))
    assert chosen(more).schema.names == whole.schema.names


def test_what_is_not_arrow_is_refused() -> None:
    """Cut, empty, or something else."""
    (message,) = messages(rows(workspace(1), 5), 10)
    for wrong in (b"", b"no arrow", message[:100]):
        with pytest.raises(ExportNotUnderstood):
            list(read_ipc(wrong))


def test_another_file_is_no_usage_file(tmp_path: Path) -> None:
    """Parquet with other columns, and no Parquet at all."""
    path = tmp_path / "x.parquet"
    table: Any = batch_table(rows(workspace(1), 3))
    pq.write_table(table, path)
    with pytest.raises(ObjectDamaged):
        list(rows_of(path))
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(ObjectDamaged):
        list(rows_of(path))


def batch_table(found: list[Row]) -> Any:
    """Exported rows as a table."""
    return pa.Table.from_batches([batch(found)])

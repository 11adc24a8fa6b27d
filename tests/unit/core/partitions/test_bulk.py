"""Long lists are held to the same rules as everything else, item by item."""

from __future__ import annotations

from typing import Any

import pytest

from core.partitions.bulk import (
    LATE_IDS_MAX,
    NAMES_MAX,
    counted_of,
    files_of,
    ids_of,
    names_of,
)
from kit.ids import format_id
from kit.reasons import InvalidArgument
from oneapi.common.v1.money_pb2 import Money
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, WorkspaceTotals

OWNER = bytes([7]) * 16


def file(**fields: Any) -> ArchiveFile:
    """A file, but for the fields."""
    whole: dict[str, Any] = {
        "name": "usage/v1/workspace=07/month=2026-07/part-0001-0f.parquet",
        "kind": ArchiveFile.KIND_USAGE_PARQUET,
        "workspace_id": format_id("ws", OWNER),
        "revision": 1,
        "sha256": bytes(32),
    }
    return ArchiveFile(**whole | fields)


def test_what_is_right_passes() -> None:
    """A workspace's file, and one over all workspaces."""
    found = files_of([file(), file(workspace_id="", kind=ArchiveFile.KIND_IDS)], 2)
    assert [each.workspace_id for each in found] == [OWNER, None]
    assert ids_of([bytes(16)], "late_ids") == [bytes(16)]
    assert names_of(["ids/month=2026-07/r0001-0f.ids"]) == ["ids/month=2026-07/r0001-0f.ids"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in ("", "/usage", "a b", "a" * 257, "usage/\n")),
        *(("kind", kind) for kind in (0, 99)),
        *(("workspace_id", text) for text in ("ws_0", format_id("key", OWNER))),
        *(("revision", number) for number in (0, -1)),
        *((name, -1) for name in ("size_bytes", "rows")),
        *(("sha256", content) for content in (b"", bytes(31), bytes(33))),
    ],
)
def test_a_file_with_a_wrong_field_is_refused_by_its_name(field: str, value: Any) -> None:
    """The field is named, its value is not."""
    with pytest.raises(InvalidArgument) as refused:
        files_of([file(), file(**{field: value})], 2)
    assert refused.value.metadata == {"fields": f"files.{field}"}


def test_too_many_or_malformed_items_are_refused() -> None:
    """One more than the limit; an id of another length; a name that no file has."""
    for call, field in (
        (lambda: files_of([file()] * 3, 2), "files"),
        (lambda: ids_of([bytes(16)] * (LATE_IDS_MAX + 1), "late_ids"), "late_ids"),
        (lambda: ids_of([bytes(16), bytes(15)], "duplicate_ids"), "duplicate_ids"),
        (lambda: names_of(["a"] * (NAMES_MAX + 1)), "names"),
        (lambda: names_of(["a", "../a"]), "names"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            call()
        assert refused.value.metadata == {"fields": field}


def totals(**fields: Any) -> WorkspaceTotals:
    """A workspace's totals, but for the fields."""
    whole: dict[str, Any] = {
        "workspace_id": format_id("ws", OWNER),
        "records": 2_500_000,
        "first_id": bytes(16),
        "last_id": bytes([255]) * 16,
        "ids_hash": bytes(32),
        "quantities": Quantities(input_tokens=1 << 40),
        "charges": Money(amount_nanos=1, currency_code="USD"),
        "waived": Money(currency_code="USD"),
    }
    return WorkspaceTotals(**whole | fields)


def test_sums_of_a_month_may_be_more_than_one_request_can_have() -> None:
    """A million million tokens are a large customer's month; of nothing there is no first id."""
    assert counted_of(totals()).quantities[0] == 1 << 40
    assert counted_of(totals(records=0, first_id=b"", last_id=b"")).records == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("workspace_id", text) for text in ("", "ws_0", format_id("key", OWNER))),
        ("records", -1),
        *((name, bytes(15)) for name in ("first_id", "last_id")),
        *(("ids_hash", content) for content in (b"", bytes(31))),
        ("quantities", Quantities(tool_calls=-1)),
        *((name, Money(amount_nanos=-1, currency_code="USD")) for name in ("charges", "waived")),
        *((name, Money(amount_nanos=1, currency_code="EUR")) for name in ("charges", "waived")),
        *((name, Money()) for name in ("charges", "waived")),
    ],
)
def test_totals_with_a_wrong_field_are_refused_by_its_name(field: str, value: Any) -> None:
    """The field is named, its value is not."""
    with pytest.raises(InvalidArgument) as refused:
        counted_of(totals(**{field: value}))
    assert refused.value.metadata == {"fields": f"totals.{field}"}

"""Costs by meter: unit prices, quantities and amounts agree, and add up to what was charged."""

from __future__ import annotations

import random
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from archiver.columns import QUANTITIES
from archiver.focus import FocusFiles
from archiver.focus_columns import COST_SCHEMA
from archiver.focus_meters import METERS, PRICED_UNITS
from archiver.focus_rules import CostsBreakRule, check
from kit.charge import CONTEXT_DIMENSIONS, DIMENSIONS, Dimension, Price, PriceTier, charge_nanos
from tests.support.archive_core import BILLING_SCHEMA
from tests.support.archive_rows import MONTH, Row, rows, workspace
from tests.support.archive_shelf import write
from tests.unit.archiver.test_focus import BILLING, costs_of, total

OWNER = workspace(1)
NANO = Decimal("0.000000001")
ABOVE = 5_000


def rates(**named: int) -> tuple[int, ...]:
    """Nano-dollars for a million; what is not named is free."""
    found = [0] * DIMENSIONS
    for name, rate in named.items():
        found[Dimension[name.upper()]] = rate
    return tuple(found)


LOW = PriceTier(0, rates(input=150_000_001, cached_input=75_000_003, output=600_000_007))
HIGH = PriceTier(ABOVE, rates(input=300_000_001, output=900_000_007, requests=1_000_000_000_000))
TIERS = {7: (LOW, HIGH)}
PRICE = Price(7, 1, 1, 0, TIERS[7])


def charged(count: int, seed: int = 1) -> list[Row]:
    """Rows that are charged by the price, a few of them waived."""
    found = rows(OWNER, count, seed)
    for row in found:
        figure = charge_nanos(tuple(row[name] for name in QUANTITIES), PRICE)
        is_waived = row["waive_reason"] != 0
        row["charge_nanos"] = 0 if is_waived else figure
        row["waived_nanos"] = figure if is_waived else 0
    return found


def written(folder: Path, found: list[Row], tiers: Any = TIERS, billing: Any = None) -> Any:
    """The two files of these rows."""
    folder.mkdir()
    usage = write(folder / "usage.parquet", found).path
    files = FocusFiles()
    files.know(tiers)
    table = None if billing is None else pa.Table.from_pylist(billing, BILLING_SCHEMA)
    return files.write(OWNER, MONTH, [usage], table, folder)


def usage_of(costs: pa.Table) -> list[Row]:
    """The rows of usage."""
    return [row for row in costs.to_pylist() if row["ChargeCategory"] == "Usage"]


@pytest.mark.parametrize("seed", range(4))
def test_meters_add_up_to_the_charges(tmp_path: Path, seed: int) -> None:
    """To the last unit: what was charged, what was waived, and each quantity by its meter."""
    found = charged(random.Random(seed).randrange(1, 2_000), seed)
    costs = costs_of(written(tmp_path / "x", found))
    used, waived = (sum(row[name] for row in found) for name in ("charge_nanos", "waived_nanos"))
    assert total(costs, "EffectiveCost", "Usage") == Decimal(used).scaleb(-9)
    assert total(costs, "x_WaivedCost", "Usage") == Decimal(waived).scaleb(-9)
    counted: Counter[str] = Counter()
    for row in usage_of(costs):
        counted[row["SkuMeter"]] += int(row["ConsumedQuantity"])
    for meter in METERS:
        assert counted[meter.name] == sum(row[meter.quantity] for row in found)
    list_cost = total(costs, "ListCost", "Usage")
    assert abs(list_cost - Decimal(used + waived).scaleb(-9)) <= len(found) * NANO


def test_a_unit_price_is_that_of_the_tier_and_meter(tmp_path: Path) -> None:
    """Its product with the quantity is the list cost, rounded as charges are."""
    found = charged(1_500)
    seen = set()
    for row in usage_of(costs_of(written(tmp_path / "x", found))):
        model, lane, version, tier, word = row["SkuPriceId"].split("/")
        (meter,) = [each for each in METERS if each.name == row["SkuMeter"]]
        assert word == meter.name.lower().replace(" ", "-")
        assert (f"{model}/{lane}", version) == (row["SkuId"], "7")
        rate = TIERS[7][int(tier)].rates[meter.dimension]
        assert row["ListUnitPrice"] == row["ContractedUnitPrice"] == Decimal(rate).scaleb(-9)
        assert row["PricingQuantity"] * PRICED_UNITS == row["ConsumedQuantity"]
        assert row["PricingUnit"] == f"1000000 {row['ConsumedUnit']}"
        product = row["ListUnitPrice"] * row["PricingQuantity"]
        assert row["ListCost"] == product.quantize(NANO, ROUND_HALF_EVEN) == row["ContractedCost"]
        seen.add((meter.dimension, int(tier)))
    tiers_of_rows = {int(_context(row) > ABOVE) for row in found}
    assert {tier for _, tier in seen} == tiers_of_rows == {0, 1}
    assert {Dimension.INPUT, Dimension.OUTPUT, Dimension.REQUESTS} <= {each for each, _ in seen}


def test_failed_requests_that_used_nothing_have_no_row(tmp_path: Path) -> None:
    """There is no meter that they moved."""
    found = charged(10)
    for row in found[1:]:
        row.update(dict.fromkeys(QUANTITIES, 0) | {"charge_nanos": 0, "waived_nanos": 0})
    used = {name for name in QUANTITIES if found[0][name]}
    assert len(usage_of(costs_of(written(tmp_path / "x", found)))) == len(used)


def test_a_price_that_nobody_told_is_one_charge(tmp_path: Path) -> None:
    """Better a row without meters than no month: its price is what it cost."""
    found = charged(50)
    costs = costs_of(written(tmp_path / "x", found, tiers={}))
    assert {row["SkuMeter"] for row in usage_of(costs)} == {"Usage"}
    assert {row["PricingUnit"] for row in usage_of(costs)} == {"Charges"}
    used = Decimal(sum(row["charge_nanos"] for row in found)).scaleb(-9)
    assert total(costs, "EffectiveCost", "Usage") == used


def test_the_rules_hold_on_both_files(tmp_path: Path) -> None:
    """The text has the same rows, and read back from it they are FOCUS as well."""
    parquet, text = written(tmp_path / "x", charged(800), billing=BILLING)
    costs = costs_of([parquet])
    check(costs)
    read: Any = pd.read_csv(text.path, dtype=str, keep_default_na=False)
    columns = {
        field.name: pa.array([_value(field.type, each) for each in read[field.name]], field.type)
        for field in COST_SCHEMA
    }
    again = pa.table(columns, schema=COST_SCHEMA)
    check(again)
    assert again.equals(costs)
    place = again.schema.get_field_index("ListUnitPrice")
    doubled = [None if each is None else 2 * each for each in again.column(place).to_pylist()]
    broken = again.set_column(
        place, again.schema.field(place), pa.array(doubled, again.schema.field(place).type)
    )
    with pytest.raises(CostsBreakRule) as caught:
        check(broken)
    assert (caught.value.column, caught.value.must) == ("ListCost", "product")


def test_days_of_many_tokens_are_written(tmp_path: Path) -> None:
    """More than nine billion tokens, as nano-units of text, are too many for 64 bits."""
    found = charged(4)
    for row in found:
        row["model"], row["key_id"], row["served_lane"] = "small-1", bytes(16), 1
        row["started_at"] = found[0]["started_at"]
        row["input_tokens"] = 2**32 - 1
        figure = charge_nanos(tuple(row[name] for name in QUANTITIES), PRICE)
        row |= {"charge_nanos": figure, "waived_nanos": 0, "waive_reason": 0}
    parquet, text = written(tmp_path / "x", found)
    costs = costs_of([parquet])
    (row,) = [each for each in usage_of(costs) if each["SkuMeter"] == "Input Tokens"]
    assert row["ConsumedQuantity"] == 4 * (2**32 - 1)
    read: Any = pd.read_csv(text.path, dtype=str, keep_default_na=False)
    assert f"{row['ConsumedQuantity']:f}" in list(read["ConsumedQuantity"])


def _context(row: Row) -> int:
    return sum(row[QUANTITIES[each]] for each in CONTEXT_DIMENSIONS)


def _value(kind: pa.DataType, text: str) -> Any:
    if not text:
        return None
    if pa.types.is_decimal(kind):
        return Decimal(text)
    return pd.Timestamp(text).to_pydatetime() if pa.types.is_timestamp(kind) else text

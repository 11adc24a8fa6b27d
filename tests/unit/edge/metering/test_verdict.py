"""What a request is charged, case by case, as the contract has it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.metering.verdict import NO_CHARGE, Facts, decide
from kit.charge import NOTHING, Dimension, Price, PriceTier, Quantities, quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason, Outcome, UsageSource, WaiveReason

PRICE = Price(1, 1, 1, 0, (PriceTier(0, (1_000_000,) * 12),))
"""One nano-dollar for each unit."""
HOLD = 1_000
"""In nano-dollars."""
USAGE = quantities(input=10, output=5, requests=1)
ESTIMATE = quantities(input=7, output=3, requests=1)

OK, FAILED, LEFT = Outcome.OUTCOME_SUCCEEDED, Outcome.OUTCOME_FAILED, Outcome.OUTCOME_CANCELLED
STOP = FinishReason.FINISH_REASON_STOP
NONE = FinishReason.FINISH_REASON_UNSPECIFIED
ERROR = FinishReason.FINISH_REASON_ERROR
PROVIDER = UsageSource.USAGE_SOURCE_PROVIDER
ESTIMATED = UsageSource.USAGE_SOURCE_ESTIMATED

Row = tuple[str, Outcome.ValueType, FinishReason.ValueType, Quantities | None, bool, bool, bool]

CHARGED: list[tuple[Row, int, UsageSource.ValueType]] = [
    (("whole answer", OK, STOP, USAGE, True, True, False), 16, PROVIDER),
    (("a proper finish without output", OK, STOP, USAGE, False, True, False), 16, PROVIDER),
    (("output without a finish", OK, NONE, USAGE, True, True, False), 16, PROVIDER),
    (("whole, usage unknown", OK, STOP, None, True, True, False), 11, ESTIMATED),
    (("cut after usage was seen", FAILED, NONE, USAGE, True, True, False), 16, PROVIDER),
    (("client left, drained", LEFT, STOP, USAGE, True, True, False), 16, PROVIDER),
    (("client left, usage seen, no output", LEFT, NONE, USAGE, False, True, False), 16, PROVIDER),
    (("client left after it began", LEFT, NONE, None, True, True, False), 11, ESTIMATED),
    (("client left early, billed anyway", LEFT, NONE, None, False, False, True), 11, ESTIMATED),
]
FREE: list[Row] = [
    ("upstream failed", FAILED, NONE, None, False, False, False),
    ("upstream cut, usage unknown", FAILED, NONE, None, True, True, False),
    ("upstream failed though it bills refused clients", FAILED, NONE, None, False, False, True),
    ("empty answer, usage unknown", OK, NONE, None, False, True, False),
    ("client left before it began", LEFT, NONE, None, False, False, False),
]
WAIVED: list[Row] = [
    ("an error without output", FAILED, STOP, USAGE, False, True, False),
    ("an empty answer", OK, NONE, USAGE, False, True, False),
    ("an empty answer that says error", OK, ERROR, USAGE, False, True, False),
]


def facts(row: Row) -> Facts:
    """Return the facts of a row."""
    _, outcome, finish, usage, has_output, began, bills_refused = row
    return Facts(
        outcome,
        finish,
        usage,
        has_output,
        began,
        bills_refused,
        lambda: ESTIMATE,
        PRICE,
        too_large=False,
        hold_nanos=HOLD,
    )


def test_an_answer_that_a_limit_of_ours_ended_is_charged_for_what_was_delivered() -> None:
    """Or a request could be made so that its last event is too long for us, and be free."""
    row = ("too large", FAILED, NONE, None, True, True, False)
    assert decide(facts(row)).charge_nanos == 0
    ended = replace(facts(row), too_large=True)
    assert decide(ended).usage_source == UsageSource.USAGE_SOURCE_ESTIMATED
    assert decide(ended).charge_nanos > 0
    assert decide(replace(ended, has_output=False)).charge_nanos == 0


@pytest.mark.parametrize(("row", "charge", "source"), CHARGED, ids=lambda v: str(v)[:40])
def test_what_is_charged(row: Row, charge: int, source: UsageSource.ValueType) -> None:
    """The provider's usage where it is known, else the estimate where the contract allows it."""
    verdict = decide(facts(row))
    expected = USAGE if source == PROVIDER else ESTIMATE
    assert (verdict.charge_nanos, verdict.usage_source) == (charge, source)
    assert verdict.quantities == expected
    assert verdict.waive_reason == WaiveReason.WAIVE_REASON_UNSPECIFIED


EARLY = quantities(input=10, cached_input=2, output=1, requests=1)
"""Counted before the answer, as Anthropic does it."""


def test_what_was_delivered_after_an_early_count_is_estimated() -> None:
    """A client that takes the answer and leaves before its end pays for what it took."""
    verdict = decide(facts(("client left", LEFT, NONE, EARLY, True, True, False)))
    assert verdict.quantities == quantities(input=10, cached_input=2, output=3, requests=1)
    assert (verdict.charge_nanos, verdict.usage_source) == (16, ESTIMATED)


def test_searches_seen_after_an_early_count_are_charged() -> None:
    """Also where no output is missing, and never twice."""
    seen = [*ESTIMATE]
    seen[Dimension.TOOL_CALLS] = 2
    left = facts(("client left", LEFT, NONE, EARLY, True, True, False))
    left.estimate = lambda: tuple(seen)
    for used, calls in (
        (EARLY, 2),
        (USAGE, 2),
        (with_calls(USAGE, 1), 2),
        (with_calls(USAGE, 3), 3),
    ):
        left.usage = used
        verdict = decide(left)
        assert verdict.quantities[Dimension.TOOL_CALLS] == calls
        assert verdict.quantities[Dimension.OUTPUT] >= used[Dimension.OUTPUT]


def with_calls(used: Quantities, calls: int) -> Quantities:
    """Return quantities with so many searches."""
    return (*used[: Dimension.TOOL_CALLS], calls)


@pytest.mark.parametrize(
    ("name", "outcome", "finish", "has_output"),
    [
        ("the upstream cut", FAILED, NONE, True),
        ("drained to its end", LEFT, STOP, True),
        ("nothing was delivered", LEFT, NONE, False),
    ],
)
def test_an_early_count_stands_where_nothing_is_to_be_added(
    name: str, outcome: Outcome.ValueType, finish: FinishReason.ValueType, *, has_output: bool
) -> None:
    """The provider's count is the provider's."""
    verdict = decide(facts((name, outcome, finish, EARLY, has_output, True, False)))
    assert (verdict.quantities, verdict.usage_source) == (EARLY, PROVIDER)


def test_an_estimate_behind_an_early_count_stays_within_the_hold() -> None:
    """Else the estimate alone is charged, which does."""
    left = facts(("client left", LEFT, NONE, EARLY, True, True, False))
    left.hold_nanos = 15
    assert decide(left).quantities == ESTIMATE


@pytest.mark.parametrize("row", FREE, ids=lambda row: row[0])
def test_what_is_free(row: Row) -> None:
    """Nothing is charged, and nothing is counted."""
    assert decide(facts(row)) == NO_CHARGE


@pytest.mark.parametrize("row", WAIVED, ids=lambda row: row[0])
def test_what_is_waived(row: Row) -> None:
    """The provider counted, we do not charge: the record says so."""
    verdict = decide(facts(row))
    assert (verdict.quantities, verdict.charge_nanos) == (NOTHING, 0)
    assert verdict.waive_reason == WaiveReason.WAIVE_REASON_NO_OUTPUT

"""What a request is charged, from the facts of how it went: the contract as a function.

provider's usage known, some output or a proper finish  -> the provider's usage
no output, and an error or an empty finish              -> nothing (waived if usage was reported)
usage unknown, the answer was whole                     -> an estimate, never above the hold
usage unknown, the client left                          -> an estimate of input and delivered
                                                           output, if the upstream had begun to
                                                           answer or bills refused clients
usage unknown, the upstream failed or cut               -> nothing
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kit.charge import NOTHING, Price, Quantities, charge_nanos
from oneapi.metering.v1.usage_record_pb2 import FinishReason, Outcome, UsageSource, WaiveReason


@dataclass(frozen=True, slots=True)
class Facts:
    """How a request went. Counts only."""

    outcome: Outcome.ValueType
    finish_reason: FinishReason.ValueType
    usage: Quantities | None
    has_output: bool
    upstream_began: bool
    bills_refused: bool
    estimate: Quantities
    """Input and delivered output as we estimate them, within the bounds of the hold."""
    price: Price


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is recorded and charged; the charge is in nano-US-dollars."""

    quantities: Quantities
    charge_nanos: int
    usage_source: UsageSource.ValueType
    waive_reason: WaiveReason.ValueType = WaiveReason.WAIVE_REASON_UNSPECIFIED


NO_CHARGE: Final = Verdict(NOTHING, 0, UsageSource.USAGE_SOURCE_UNSPECIFIED)


def decide(facts: Facts) -> Verdict:
    """Return the verdict on a request."""
    if _is_empty_failure(facts):
        if facts.usage is None:
            return NO_CHARGE
        waived = WaiveReason.WAIVE_REASON_NO_OUTPUT
        return Verdict(NOTHING, 0, UsageSource.USAGE_SOURCE_PROVIDER, waived)
    if facts.usage is not None:
        return _charged(facts.usage, facts.price, UsageSource.USAGE_SOURCE_PROVIDER)
    if facts.outcome == Outcome.OUTCOME_SUCCEEDED or _left_while_billed(facts):
        return _charged(facts.estimate, facts.price, UsageSource.USAGE_SOURCE_ESTIMATED)
    return NO_CHARGE


def _is_empty_failure(facts: Facts) -> bool:
    failed = facts.outcome == Outcome.OUTCOME_FAILED
    finished = facts.finish_reason not in (
        FinishReason.FINISH_REASON_UNSPECIFIED,
        FinishReason.FINISH_REASON_ERROR,
    )
    left = facts.outcome == Outcome.OUTCOME_CANCELLED
    return not facts.has_output and not left and (failed or not finished)


def _left_while_billed(facts: Facts) -> bool:
    left = facts.outcome == Outcome.OUTCOME_CANCELLED
    return left and (facts.upstream_began or facts.bills_refused)


def _charged(used: Quantities, price: Price, source: UsageSource.ValueType) -> Verdict:
    return Verdict(used, charge_nanos(used, price), source)

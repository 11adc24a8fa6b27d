"""What a request is charged, from the facts of how it went: the contract as a function.

provider's usage known, some output or a proper finish  -> the provider's usage
provider's usage known from before the output that was  -> its input, and an estimate of the
delivered until the client left                            delivered output and searches
no output, and an error or an empty finish              -> nothing (waived if usage was reported)
usage unknown, the answer was whole                     -> an estimate, never above the hold
usage unknown, the client left                          -> an estimate of input and delivered
                                                           output, if the upstream had begun to
                                                           answer or bills refused clients
usage unknown, a limit of ours ended the answer         -> the same, for what was delivered
usage unknown, the upstream failed or cut               -> nothing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kit.charge import NOTHING, Dimension, Price, Quantities, charge_nanos, output_tokens
from oneapi.metering.v1 import usage_record_pb2 as usage


# Made for each request: not frozen, which would double the time of making it.
@dataclass(slots=True)
class Facts:
    """How a request went. Counts only."""

    outcome: usage.Outcome.ValueType
    finish_reason: usage.FinishReason.ValueType
    usage: Quantities | None
    has_output: bool
    upstream_began: bool
    bills_refused: bool
    estimate: Callable[[], Quantities]
    """Gives input and delivered output as we estimate them, within the bounds of the hold."""
    price: Price
    too_large: bool
    """The answer was longer than we take: not the upstream's failure."""
    hold_nanos: int
    """What was set aside, in nano-US-dollars: no estimate may cost more."""


@dataclass(slots=True)
class Verdict:
    """What is recorded and charged; the charge is in nano-US-dollars."""

    quantities: Quantities
    charge_nanos: int
    usage_source: usage.UsageSource.ValueType
    waive_reason: usage.WaiveReason.ValueType = usage.WAIVE_REASON_UNSPECIFIED


NO_CHARGE: Final = Verdict(NOTHING, 0, usage.USAGE_SOURCE_UNSPECIFIED)


def decide(facts: Facts) -> Verdict:
    """Return the verdict on a request."""
    if _is_empty_failure(facts):
        if facts.usage is None:
            return NO_CHARGE
        waived = usage.WAIVE_REASON_NO_OUTPUT
        return Verdict(NOTHING, 0, usage.USAGE_SOURCE_PROVIDER, waived)
    if facts.usage is not None:
        return _counted(facts, facts.usage)
    cut_by_us = facts.too_large and facts.has_output
    if facts.outcome == usage.OUTCOME_SUCCEEDED or cut_by_us or _left_while_billed(facts):
        return _charged(facts.estimate(), facts.price, usage.USAGE_SOURCE_ESTIMATED)
    return NO_CHARGE


def _is_empty_failure(facts: Facts) -> bool:
    failed = facts.outcome == usage.OUTCOME_FAILED
    finished = facts.finish_reason not in (
        usage.FINISH_REASON_UNSPECIFIED,
        usage.FINISH_REASON_ERROR,
    )
    left = facts.outcome == usage.OUTCOME_CANCELLED
    return not facts.has_output and not left and (failed or not finished)


def _counted(facts: Facts, reported: Quantities) -> Verdict:
    """Charge what the provider counted, and what it made after that until the client left.

    Searches of the web that were seen belong to it.

    Anthropic and Google count the input before they answer. Without this, a client could take the
    whole answer and leave before its end, and pay for the input only.
    """
    unfinished = facts.finish_reason == usage.FINISH_REASON_UNSPECIFIED
    if facts.outcome == usage.OUTCOME_CANCELLED and unfinished and facts.has_output:
        estimate = facts.estimate()
        missing = output_tokens(estimate) - output_tokens(reported)
        searches = estimate[Dimension.TOOL_CALLS] - reported[Dimension.TOOL_CALLS]
        if missing > 0 or searches > 0:
            completed = [*reported]
            completed[Dimension.OUTPUT] += max(0, missing)
            completed[Dimension.TOOL_CALLS] += max(0, searches)
            verdict = _charged(tuple(completed), facts.price, usage.USAGE_SOURCE_ESTIMATED)
            if verdict.charge_nanos <= facts.hold_nanos:
                return verdict
            return _charged(estimate, facts.price, usage.USAGE_SOURCE_ESTIMATED)
    return _charged(reported, facts.price, usage.USAGE_SOURCE_PROVIDER)


def _left_while_billed(facts: Facts) -> bool:
    left = facts.outcome == usage.OUTCOME_CANCELLED
    return left and (facts.upstream_began or facts.bills_refused)


def _charged(used: Quantities, price: Price, source: usage.UsageSource.ValueType) -> Verdict:
    return Verdict(used, charge_nanos(used, price), source)

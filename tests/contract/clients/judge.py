"""What the service's records and the provider's memory must say of a client's cases."""

from __future__ import annotations

from typing import Final

from oneapi.metering.v1 import usage_record_pb2 as record
from oneapi.metering.v1 import usage_service_pb2, usage_service_pb2_grpc
from tests.contract.clients.client import OK
from tests.contract.clients.served import CASES, Served
from tests.contract.clients.upstream import LEFT
from tests.support.operator_calls import CALL_SECONDS_MAX
from tests.support.processes import until

PATIENCE_SECONDS: Final = 10.0
_EXPECTED: Final = {
    "text": ("demo", record.Outcome.OUTCOME_SUCCEEDED),
    "stream": ("demo", record.Outcome.OUTCOME_SUCCEEDED),
    "tools": ("tools", record.Outcome.OUTCOME_SUCCEEDED),
    "cut": ("cut", record.Outcome.OUTCOME_FAILED),
}
FORWARDED: Final = frozenset(
    {
        *("host", "content-type", "content-length", "accept", "accept-encoding", "connection"),
        *("user-agent", "authorization", "x-api-key", "x-goog-api-key"),
        *("anthropic-version", "anthropic-beta"),
    }
)
"""The only headers that may reach a provider, whatever a client sends."""

Usage = usage_service_pb2.Usage


def judged(
    cells: dict[str, str], served: Served, key_id: str, models: dict[str, str]
) -> dict[str, str]:
    """Return the cells with those that only seemed green set right."""
    found = dict(cells)
    usages = settled(served, key_id)
    for case, (name, outcome) in _EXPECTED.items():
        if found.get(case) == OK:
            found[case] = _of_records([one for one in usages if one.model == models[name]], outcome)
    if found.get("cancel") == OK:
        found["cancel"] = _of_cancelled(served, key_id, models["endless"])
    if more := forwarded_headers(served) - FORWARDED:
        found["headers"] = f"reached the provider: {', '.join(sorted(more))}"
    return found


def forwarded_headers(served: Served) -> frozenset[str]:
    """Return the names of all headers that reached the provider."""
    return frozenset().union(*(one.header_names for one in served.demo.calls()))


def settled(served: Served, key_id: str) -> list[Usage]:
    """Return the records of a key, once there is one for each of the case's calls."""

    def usages() -> list[Usage]:
        stub = usage_service_pb2_grpc.UsageServiceStub(served.stack.channel)
        asked = usage_service_pb2.ListUsageRequest(key_id=key_id, page_size=1_000)
        return list(stub.ListUsage(asked, timeout=CALL_SECONDS_MAX).usages)

    try:
        until(lambda: len(usages()) >= len(served.demo.calls()), PATIENCE_SECONDS)
    except AssertionError:
        return usages()
    return usages()


def _of_records(usages: list[Usage], expected: record.Outcome.ValueType) -> str:
    if not usages:
        return "no usage record"
    for one in usages:
        if one.outcome != expected:
            return f"the record says {record.Outcome.Name(one.outcome)}"
        if expected == record.Outcome.OUTCOME_SUCCEEDED and not one.charge.amount_nanos:
            return "the record has no charge"
    return OK


def _of_cancelled(served: Served, key_id: str, model: str) -> str:
    """Each answer that the client left was cancelled at the provider, and its record says so."""

    def outcomes() -> list[str]:
        return [one.outcome for one in served.demo.calls(CASES["endless"])]

    if not outcomes():
        return "the provider was not asked"
    try:
        until(lambda: LEFT in outcomes() and all(outcomes()), PATIENCE_SECONDS)
    except AssertionError:
        return "the provider was not cancelled"
    usages = [one for one in settled(served, key_id) if one.model == model]
    cancelled = [one for one in usages if one.outcome == record.Outcome.OUTCOME_CANCELLED]
    left = outcomes().count(LEFT)
    return (
        OK if len(cancelled) == left else f"{left} left, {len(cancelled)} cancelled by the records"
    )

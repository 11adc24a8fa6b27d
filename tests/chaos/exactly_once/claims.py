"""The claims, checked request by request: client, provider, dead spools and records must agree.

*Accepted* means that the INTENT is in the spool. From outside that is proved for a request when the
provider was asked, when its client saw a success begin, or when the spool of an edge that was
killed held its INTENT. A record of a request that none of the three knows is one whose client left
between INTENT and provider: it must be there at most once as well, and free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kit.ids import parse_id
from kit.money import parse_dollars
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.chaos.exactly_once.books import Books, Row
from tests.chaos.exactly_once.clients import Attempt, counted, number_of
from tests.chaos.exactly_once.provider import Call
from tests.chaos.exactly_once.spools import Deaths

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each party says about one round."""

    attempts: Sequence[Attempt]
    calls: Mapping[int, Call]
    deaths: Deaths
    books: Books
    given: int
    """Nano-dollars that the workspace had before the first request."""


@dataclass
class Verdict:
    """The figures of a round, and whatever contradicts a claim."""

    accepted: int = 0
    unseen: int = 0
    crashes: int = 0
    crashes_charged: int = 0
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Say whether every claim holds."""
        return not (self.lost or self.double or self.wrong)


def judge(evidence: Evidence) -> Verdict:
    """Check all claims."""
    verdict = Verdict()
    _count(evidence, verdict)
    _check_whole_answers(evidence, verdict)
    _check_charges(evidence, verdict)
    _check_crashes(evidence, verdict)
    _check_sums(evidence, verdict)
    return verdict


def _count(evidence: Evidence, verdict: Verdict) -> None:
    """Every accepted request has one record, and none has two."""
    records = evidence.books.by_hold
    by_number = {number_of(hold): rows for hold, rows in records.items()}
    known = {attempt.number: attempt for attempt in evidence.attempts}
    answered = {one.number for one in evidence.attempts if one.status == _OK}
    spooled = {number_of(one.hold_nanos) for one in evidence.deaths.intents.values()}
    accepted = answered | evidence.calls.keys() | spooled
    verdict.accepted = len(accepted)
    verdict.unseen = len(by_number.keys() - accepted)
    verdict.lost += [_said(known, number) for number in sorted(accepted - by_number.keys())]
    verdict.double += [
        _said(known, number) for number, rows in sorted(by_number.items()) if len(rows) > 1
    ]
    verdict.double += [
        f"provider asked {call.asked} times: {number}"
        for number, call in evidence.calls.items()
        if call.asked > 1
    ]
    verdict.wrong += [f"record of nobody: {one}" for one in by_number.keys() - known.keys()]


def _said(known: Mapping[int, Attempt], number: int) -> str:
    attempt = known.get(number)
    if attempt is None:
        return f"{number}: of nobody"
    ending = "whole" if attempt.whole else "left" if attempt.left else "broken"
    return f"{number}: edge {attempt.edge}, status {attempt.status}, {ending}"


def _check_whole_answers(evidence: Evidence, verdict: Verdict) -> None:
    """What a client got whole is recorded as that, with the provider's counts and its price."""
    records = evidence.books.by_id
    for attempt in evidence.attempts:
        row = records.get(_id(attempt))
        if attempt.status == _OK and row is None:
            verdict.lost.append(f"{attempt.number}: the client knows {attempt.request_id}")
        elif row is not None and number_of(row.hold) != attempt.number:
            verdict.wrong.append(f"{attempt.number}: another request's record")
        elif attempt.whole and row is not None and not _is_of_whole(attempt, row):
            verdict.wrong.append(f"{attempt.number}: got whole, recorded as {row}")


def _is_of_whole(attempt: Attempt, row: Row) -> bool:
    tokens = counted(attempt)
    return (
        row.outcome == usage.OUTCOME_SUCCEEDED
        and row.usage_source == usage.USAGE_SOURCE_PROVIDER
        and attempt.usage == tokens == (row.input_tokens, row.output_tokens)
        and row.charge == parse_dollars(attempt.cost) > 0
    )


def _check_charges(evidence: Evidence, verdict: Verdict) -> None:
    """Nothing is charged that the provider never saw, that was refused, or beyond its hold."""
    refused = {one.number for one in evidence.attempts if one.status not in {0, _OK}}
    events = {one.number: one.events for one in evidence.attempts}
    for row in evidence.books.records:
        number = number_of(row.hold)
        call = evidence.calls.get(number)
        if row.charge and (call is None or number in refused):
            verdict.wrong.append(f"{number}: charged, yet never asked or refused: {row}")
        if row.charge > row.hold or row.output_tokens > events.get(number, 0):
            verdict.wrong.append(f"{number}: more than was there: {row}")


def _check_crashes(evidence: Evidence, verdict: Verdict) -> None:
    """The requests without an outcome are those of killed edges, at the price of a checkpoint."""
    crashed = {
        row.request_id: row
        for row in evidence.books.records
        if row.outcome == usage.OUTCOME_EDGE_CRASH
    }
    opened, checkpoints = evidence.deaths.open, evidence.deaths.checkpoints
    verdict.crashes = len(crashed)
    verdict.crashes_charged = sum(1 for row in crashed.values() if row.charge)
    for request_id in sorted(crashed.keys() ^ opened):
        where = "recorded as crashed" if request_id in crashed else "open in a dead spool"
        verdict.wrong.append(f"{request_id.hex()}: only {where}")
    for request_id, row in crashed.items():
        checkpoint = checkpoints.get(request_id)
        proved = 0 if checkpoint is None else checkpoint.output_tokens
        call = evidence.calls.get(number_of(row.hold))
        sent = 0 if call is None else call.events_sent
        if row.input_tokens or row.output_tokens > min(proved, sent):
            verdict.wrong.append(f"{number_of(row.hold)}: a crash beyond its proof: {row}")


def _check_sums(evidence: Evidence, verdict: Verdict) -> None:
    """Charges, revenue and the wallet's drop are one number; nothing is left over anywhere."""
    books = evidence.books
    drop = evidence.given - books.posted
    if not books.charged == books.revenue == drop:
        verdict.wrong.append(f"charged {books.charged}, revenue {books.revenue}, drop {drop}")
    if books.settled_records != len(books.records):
        verdict.wrong.append(f"{books.settled_records} settled, {len(books.records)} records")
    left = {
        "late": books.late,
        "held": books.held,
        "all_entries": books.all_entries,
        "open_leases": books.open_leases,
        "missing_frames": books.missing_frames,
        **books.alarms,
    }
    verdict.wrong += [f"{name} is {value}" for name, value in left.items() if value]


def unexplained_breaks(
    attempts: Iterable[Attempt],
    deaths: Mapping[int, Sequence[tuple[float, float]]],
    slack_seconds: float,
) -> list[str]:
    """Return the answers that broke although their edge was not killed meanwhile."""
    return [
        f"{one.number}: broke on edge {one.edge}, which lived: status {one.status} {one.code}"
        f" after {one.ended - one.began:.1f} s"
        for one in attempts
        if one.broke
        and one.status in {0, _OK}
        and not any(
            one.began - slack_seconds <= killed and stopped <= one.ended + slack_seconds
            for stopped, killed in deaths.get(one.edge, ())
        )
    ]


def _id(attempt: Attempt) -> bytes:
    return parse_id("req", attempt.request_id) if attempt.request_id else b""

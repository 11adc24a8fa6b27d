"""Step seven of a request's life: exactly one OUTCOME, and the hold becomes the charge."""

from __future__ import annotations

from dataclasses import dataclass

from edge.admission.admit import Admission, Admitted
from edge.admission.catalog import Candidate
from edge.api.alarms import Alarms
from edge.api.ways import Way
from edge.metering.errors import InvalidRecordError, OutcomeNotDurable
from edge.metering.records import MAX_ATTEMPTS, Intent, Outcome
from edge.metering.spool import Spool
from edge.metering.ticket import Ticket
from edge.metering.verdict import NO_CHARGE, Facts, decide
from edge.translate import estimate
from edge.translate.surface import ClientRequest, Surface, Translation
from edge.upstream.attempts import Attempts, Endpoints
from edge.upstream.client import UpstreamClient
from edge.upstream.routing import Router
from kit.charge import Quantities, context_tokens, output_tokens
from kit.clock import Clock
from kit.hold import RequestShape
from kit.log import EventLog
from oneapi.metering.v1 import usage_record_pb2 as usage


@dataclass(frozen=True, slots=True)
class Parts:
    """What exchanges share."""

    admission: Admission
    spool: Spool
    client: UpstreamClient
    router: Router
    endpoints: Endpoints
    clock: Clock
    log: EventLog
    silences: Alarms
    """Silences after which a stream gets a keep-alive."""
    deadlines: Alarms
    """The hard ends of requests."""
    max_answer_bytes: int


@dataclass(slots=True)
class Accepted:
    """A request that is in the spool: it will yield exactly one usage record."""

    surface: Surface
    request: ClientRequest
    shape: RequestShape
    admitted: Admitted
    ways: list[Way]
    """The candidates to try, in this order, and how the request reaches each."""
    intent: Intent
    ticket: Ticket
    started: float

    def translation_for(self, candidate: Candidate) -> Translation:
        """Return how the request reaches one of its candidates."""
        return next(way.translation for way in self.ways if way.candidate is candidate)

    @property
    def request_id(self) -> str:
        """Return the id as others know it."""
        return f"req_{self.intent.request_id.hex()}"


@dataclass(slots=True)
class Ending:
    """How the exchange ended, as far as it is known."""

    outcome: usage.Outcome.ValueType = usage.OUTCOME_FAILED
    error_class: usage.ErrorClass.ValueType = usage.ERROR_CLASS_INTERNAL
    finish_reason: usage.FinishReason.ValueType = usage.FINISH_REASON_UNSPECIFIED
    http_status: int = 0
    quantities: Quantities | None = None
    has_output: bool = False
    events: int = 0
    content_bytes: int = 0
    first_token_ms: int = 0
    estimated: Quantities | None = None
    """What to charge without counts where the API has units of its own."""
    searches: int = 0
    """Searches of the web that were seen in the answer."""


class Recording:
    """The record of one exchange: written once, whatever happens."""

    __slots__ = (
        "_accepted",
        "_admission",
        "_attempts",
        "_clock",
        "_log",
        "_outcome",
        "_recorded",
        "_spool",
        "answered",
        "ending",
    )

    def __init__(self, parts: Parts, accepted: Accepted, attempts: Attempts) -> None:
        """Belong to one request and its attempts."""
        self._accepted = accepted
        self._attempts = attempts
        self._admission = parts.admission
        self._clock = parts.clock
        self._log = parts.log
        self._spool = parts.spool
        self._recorded: bool | None = None
        self._outcome: Outcome | None = None
        self.ending = Ending()
        self.answered = False
        """Whether an upstream has begun to answer."""

    @property
    def output_bound(self) -> int:
        """Return the most output tokens that the request was admitted for."""
        return self._accepted.shape.choices * self._accepted.admitted.limit.tokens

    def elapsed_ms(self) -> int:
        """Return how long the request runs."""
        return int((self._clock.monotonic() - self._accepted.started) * 1000)

    async def record(self) -> bool:
        """Make the outcome durable and settle the hold, once; False if it could not be kept."""
        if self._recorded is not None:
            return self._recorded
        self._recorded = False
        try:
            await self._finish()
        except OutcomeNotDurable:
            self._outcome = None  # the client is told; the request is resolved as an edge crash
        finally:
            # Also if the server cancels us: the frame is written before we wait for the disk.
            self._settle()
        return self._recorded

    async def _finish(self) -> None:
        """Write the outcome; after a fault of ours one that charges nothing.

        A request whose outcome cannot be told must not stay open until its edge is gone.
        """
        try:
            self._outcome = self._told_outcome()
            await self._spool.finish(self._accepted.ticket, self._outcome)
            self._recorded = True
        except OutcomeNotDurable:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the request is resolved
            self._log.fault("outcome_fault", error, request_id=self._accepted.request_id)
            self._outcome = None
            await self._finish_as_fault()

    async def _finish_as_fault(self) -> None:
        accepted, ending = self._accepted, self.ending
        ending.outcome, ending.error_class = usage.OUTCOME_FAILED, usage.ERROR_CLASS_INTERNAL
        outcome = Outcome.of(
            accepted.intent,
            outcome=ending.outcome,
            error_class=ending.error_class,
            total_ms=self.elapsed_ms(),
        )
        try:
            await self._spool.finish(accepted.ticket, outcome)
        except InvalidRecordError as error:
            # Nothing is left but to resolve it as a crash when this edge's spool is adopted.
            self._log.fault("outcome_not_written", error, request_id=self._accepted.request_id)

    def _settle(self) -> None:
        charge, used = 0, 0
        admitted = self._accepted.admitted
        if self._outcome is not None:
            charge = self._outcome.charge_nanos
            if admitted.limits is not None:
                quantities = self._outcome.quantities
                used = context_tokens(quantities) + output_tokens(quantities)
        self._admission.settle(admitted, charge, used)

    def _told_outcome(self) -> Outcome:
        accepted, ending, made = self._accepted, self.ending, self._attempts.made
        verdict = NO_CHARGE if accepted.request.is_free else decide(self._facts())
        outcome = Outcome.of(
            accepted.intent,
            outcome=ending.outcome,
            error_class=ending.error_class,
            finish_reason=ending.finish_reason,
            http_status=ending.http_status,
            first_token_ms=ending.first_token_ms,
            total_ms=self.elapsed_ms(),
            quantities=verdict.quantities,
            charge_nanos=verdict.charge_nanos,
            usage_source=verdict.usage_source,
            waive_reason=verdict.waive_reason,
            delivered_events=ending.events,
            attempts=tuple(made[-MAX_ATTEMPTS:]),
            attempts_omitted=max(0, len(made) - MAX_ATTEMPTS),
        )
        current = self._attempts.current
        # Also of an upstream that never answered and bills its refused clients.
        if current is not None and (self.answered or verdict.charge_nanos):
            outcome.upstream_number = current.upstream.number
            outcome.data_policy = current.upstream.data_policy
        return outcome

    def _facts(self) -> Facts:
        ending = self.ending
        current = self._attempts.current
        return Facts(
            outcome=ending.outcome,
            finish_reason=ending.finish_reason,
            usage=ending.quantities,
            has_output=ending.has_output,
            upstream_began=self.answered,
            bills_refused=current is not None and current.upstream.bills_refused,
            estimate=self._estimated,
            price=self._accepted.admitted.choice.price,
            too_large=ending.error_class == usage.ERROR_CLASS_TOO_LARGE,
            hold_nanos=self._accepted.admitted.hold.nanos,
        )

    def _estimated(self) -> Quantities:
        ending = self.ending
        if ending.estimated is not None:
            return ending.estimated
        return estimate.estimated(
            self._accepted.shape,
            events=ending.events,
            content_bytes=ending.content_bytes,
            limit=self.output_bound,
            searches=ending.searches,
        )

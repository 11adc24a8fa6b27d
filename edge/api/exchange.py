"""Steps four to seven of a request's life: from the INTENT to the last byte.

Whatever happens after the INTENT, exactly one OUTCOME is written (`recording.py`), durable before
the client gets its last byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from edge.admission.catalog import Candidate
from edge.api import failures
from edge.api.client_side import ClientSide
from edge.api.http import EVENT_STREAM, JSON, Scope
from edge.api.recording import Accepted, Parts, Recording
from edge.errors import ApiError
from edge.server.cycle import DEPARTURE, AnswerCut
from edge.translate import estimate
from edge.translate.answer import AnswerStream, EndKind, Fault, StreamEnd
from edge.translate.errors import MalformedAnswer
from edge.translate.surface import Translation
from edge.upstream.attempts import (
    Answer,
    Attempts,
    Failure,
    class_of,
    quotes_credential,
    timeouts_of,
)
from edge.upstream.errors import UpstreamError
from edge.upstream.message import UpstreamRequest
from edge.upstream.response import UpstreamResponse
from kit.charge import Quantities, charge_nanos
from kit.money import InvalidAmountError, Nanos
from oneapi.metering.v1 import usage_record_pb2 as usage

LAST_WORD_SECONDS: Final = 0.5
"""How long after its hard end a request may still tell its client so; then it is cut off."""
READ_SECONDS: Final = 0.05
"""How long an error inside a stream stands before the connection is closed without an end."""
TRAILER_SECONDS: Final = 0.05
"""How long the end of a body may take after its terminal frame, for the connection to be reused."""
_TEXT_TYPES: Final = (b"text/", b"application/json", b"application/problem+json")
_FAULT_CLASSES: Final = {
    Fault.UPSTREAM_ERROR: usage.ERROR_CLASS_UPSTREAM_STREAM_ERROR,
    Fault.MALFORMED: usage.ERROR_CLASS_PROTOCOL,
    Fault.TOO_LARGE: usage.ERROR_CLASS_TOO_LARGE,
}


class Exchange:
    """One accepted request on its way to an upstream and back."""

    def __init__(self, parts: Parts, accepted: Accepted, client: ClientSide) -> None:
        """Belong to one request and one client."""
        self._parts = parts
        self._accepted = accepted
        self._client = client
        self._attempts = Attempts(parts.client, parts.router, parts.clock, accepted.started)
        self._recording = Recording(parts, accepted, self._attempts)
        self._ending = self._recording.ending
        self._task = asyncio.current_task()
        self._asking = False
        self._expired = False
        self._answer: Answer | None = None
        self._gone = False
        self._cut: Callable[[], None] | None = None
        self._translation: Translation | None = None

    async def run(self, scope: Scope) -> None:
        """Serve the request to its end.

        Raises:
            AnswerCut: the client's connection must be closed without a clean end.
        """
        deadlines = self._parts.deadlines
        deadlines.set(self._on_deadline)
        self._cut = scope[DEPARTURE](self._on_departure)
        try:
            await self._serve()
        except (AnswerCut, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the client gets an end
            self._parts.log.fault("exchange_fault", error, request_id=self._accepted.request_id)
            await self._fail(Failure(usage.ERROR_CLASS_INTERNAL))
        finally:
            deadlines.call_off(self._on_deadline)
            self._client.stop()
            if self._answer is not None:
                self._answer.response.cancel()
            self._attempts.leave()
            await self._record()

    # --- step 5: an upstream

    async def _serve(self) -> None:
        found = await self._ask()
        if isinstance(found, Failure):
            await self._fail(found)
        elif self._accepted.request.stream:
            self._answer = found
            self._recording.answered = True
            await self._relay(found)
        else:
            self._answer = found
            self._recording.answered = True
            await self._whole(found)

    async def _ask(self) -> Answer | Failure:
        policy = self._accepted.admitted.choice.route.policy
        candidates = [way.candidate for way in self._accepted.ways]
        try:
            self._asking = True
            return await self._attempts.run(candidates, policy, self._build, lambda: self._over)
        except asyncio.CancelledError:
            # Our own cancellation of the wait, not the server's of the request.
            if not self._over or self._task is None or self._task.uncancel() > 0:
                raise
            return Failure(usage.ERROR_CLASS_REQUEST_DEADLINE)
        finally:
            self._asking = False

    def _build(self, candidate: Candidate) -> UpstreamRequest:
        translation = self._translation = self._accepted.translation_for(candidate)
        body = translation.body(self._accepted.admitted.limit.applied)
        endpoint = self._parts.endpoints.of(
            candidate.upstream, translation.path, translation.headers, translation.content_type
        )
        return endpoint.request(body, timeouts_of(candidate))

    # --- the client leaves, or the time is up

    @property
    def _over(self) -> bool:
        return self._gone or self._expired

    def _on_departure(self) -> None:
        self._gone = True
        candidate = self._attempts.current
        if candidate is None or not candidate.upstream.drains_on_disconnect:
            self._give_up()

    def _on_deadline(self) -> None:
        self._expired = True
        self._give_up()
        # A write to a client that takes little by little would wait on: nothing else wakes it.
        if self._cut is not None:
            asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, self._cut)

    def _give_up(self) -> None:
        if self._asking and self._task is not None:
            self._task.cancel()
        elif self._answer is not None:
            self._answer.response.cancel()

    # --- step 6 and 7: a stream

    async def _relay(self, answer: Answer) -> None:
        assert self._translation is not None, "an upstream has answered"
        if self._is_text_for_bytes(answer.response):
            await self._fail(Failure(usage.ERROR_CLASS_PROTOCOL))
            return
        stream = self._translation.stream(self._price_of)
        if not self._client.started and not self._gone:
            await self._client.start(200, ())
        body_complete, error_class = False, usage.ERROR_CLASS_INTERNAL
        try:
            body_complete, error_class = await self._pump(answer.response, stream)
        finally:
            # Also if the server cancels us: what was delivered and counted is charged.
            end = stream.finish(body_complete=body_complete)
            self._note_end(end, error_class)
            if end.usage_invalid or end.usage_decreased:
                self._note_refused_usage(answer)
        # The end of the body comes while the outcome goes to disk.
        durable = await self._record()
        await _read_trailer(answer.response)
        self._attempts.leave()
        if self._gone:
            return
        if end.kind is EndKind.PROPER and durable:
            await self._client.finish(end.tail)
            return
        tail = b"" if quotes_credential(end.tail, answer.candidate) else end.tail
        await self._cut_off(tail if durable and tail else self._cut_event(durable))

    def _is_text_for_bytes(self, response: UpstreamResponse) -> bool:
        """Say whether a text comes where a file was asked for: an error, which may quote anything.

        What is no text passes unread.
        """
        if self._accepted.request.stream_type.startswith(_TEXT_TYPES):
            return False
        return response.header(b"content-type").lower().startswith(_TEXT_TYPES)

    async def _pump(
        self, response: UpstreamResponse, stream: AnswerStream
    ) -> tuple[bool, usage.ErrorClass.ValueType]:
        """Relay until the stream is over; say whether the body was whole, else why not."""
        spool, ticket = self._parts.spool, self._accepted.ticket
        try:
            while True:
                chunk = await response.next_chunk()
                if not chunk:
                    return True, usage.ERROR_CLASS_UNSPECIFIED
                relayed = stream.feed(chunk)
                if relayed and not self._gone:
                    await self._client.write(relayed)
                if not self._ending.first_token_ms and stream.events:
                    self._ending.first_token_ms = max(1, self._recording.elapsed_ms())
                if stream.over:
                    return False, usage.ERROR_CLASS_UNSPECIFIED
                if spool.is_checkpoint_due(ticket):
                    spool.checkpoint(ticket, self._estimated_output(stream), stream.events)
        except UpstreamError as error:
            return False, class_of(error)

    def _price_of(self, used: Quantities) -> Nanos:
        """Return the charge of a count; one that costs more than was held cannot be true.

        Raises:
            InvalidAmountError: it does; what was asked for bounds it, whatever an upstream says.
        """
        admitted = self._accepted.admitted
        charge = charge_nanos(used, admitted.choice.price)
        if charge > admitted.hold.nanos:
            raise InvalidAmountError
        return charge

    def _note_refused_usage(self, answer: Answer) -> None:
        """Tell operators of counts that contradict each other, or what was asked for."""
        upstream = answer.candidate.upstream.number
        self._parts.log.event(
            "usage_refused", request_id=self._accepted.request_id, upstream_number=upstream
        )

    def _estimated_output(self, stream: AnswerStream) -> int:
        return estimate.output_tokens(
            stream.events, stream.content_bytes, limit=self._recording.output_bound
        )

    def _note_end(self, end: StreamEnd, error_class: usage.ErrorClass.ValueType) -> None:
        ending = self._ending
        ending.http_status = 200 if self._client.started else 0
        ending.quantities = end.quantities
        ending.finish_reason = end.finish_reason
        ending.has_output = end.has_output
        ending.events = end.events
        ending.content_bytes = end.content_bytes
        ending.estimated, ending.searches = end.estimated, end.searches
        if end.kind is EndKind.PROPER:
            ending.error_class = usage.ERROR_CLASS_UNSPECIFIED
            ending.outcome = usage.OUTCOME_SUCCEEDED
            if self._gone:
                ending.outcome = usage.OUTCOME_CANCELLED
            return
        fault = _FAULT_CLASSES.get(end.fault, usage.ERROR_CLASS_CUT)
        self._note_failure(error_class or fault)

    def _note_failure(self, error_class: usage.ErrorClass.ValueType) -> None:
        ending = self._ending
        ending.outcome, ending.error_class = usage.OUTCOME_FAILED, error_class
        if self._expired:
            ending.error_class = usage.ERROR_CLASS_REQUEST_DEADLINE
        elif self._gone:
            ending.outcome = usage.OUTCOME_CANCELLED
            ending.error_class = usage.ERROR_CLASS_UNSPECIFIED

    def _cut_event(self, durable: bool) -> bytes:  # noqa: FBT001  said once, above
        error_class = self._ending.error_class if durable else usage.ERROR_CLASS_SPOOL
        return self._event_of(failures.error_of(Failure(error_class)))

    def _event_of(self, error: ApiError) -> bytes:
        return self._accepted.request.error_event(error, self._accepted.request_id)

    # --- step 6 and 7: a whole answer

    async def _whole(self, answer: Answer) -> None:
        response = answer.response
        assert self._translation is not None, "an upstream has answered"
        try:
            body = await response.read(self._parts.max_answer_bytes, until_close=True)
            sent_type = response.header(b"content-type")
            result = self._translation.whole(body, sent_type, self._price_of)
        except UpstreamError as error:
            await self._fail(Failure(class_of(error)))
            return
        except MalformedAnswer:
            await self._fail(Failure(usage.ERROR_CLASS_PROTOCOL))
            return
        if result.usage_invalid:
            self._note_refused_usage(answer)
        ending = self._ending
        ending.outcome = usage.OUTCOME_CANCELLED if self._gone else usage.OUTCOME_SUCCEEDED
        ending.error_class = usage.ERROR_CLASS_UNSPECIFIED
        ending.finish_reason, ending.quantities = result.finish_reason, result.quantities
        ending.has_output, ending.content_bytes = result.has_output, result.content_bytes
        ending.estimated, ending.searches = result.estimated, result.searches
        ending.http_status = 0 if self._gone else 200
        if not await self._record():
            await self._tell(Failure(usage.ERROR_CLASS_SPOOL))
        elif not self._gone:
            await self._client.whole(200, ((b"content-type", result.content_type),), result.body)

    async def _cut_off(self, last_word: bytes) -> NoReturn:
        """Say why, and close without a clean end.

        Clients that read through web streams drop what they have not read when a connection breaks:
        they get a moment to read it.

        Raises:
            AnswerCut: always.
        """
        await self._client.write(last_word)
        if last_word and not self._gone:
            await asyncio.sleep(READ_SECONDS)
        raise AnswerCut

    # --- failures

    async def _fail(self, failure: Failure) -> None:
        """Record a failure and tell the client, by status or, once that is out, in-band."""
        if self._expired:
            failure = Failure(usage.ERROR_CLASS_REQUEST_DEADLINE)
        self._note_failure(failure.error_class)
        error = failures.error_of(failure)
        if not self._gone:
            self._ending.http_status = 200 if self._client.started else error.status
        durable = await self._record()
        if not self._gone:
            await self._tell(failure if durable else Failure(usage.ERROR_CLASS_SPOOL))

    async def _tell(self, failure: Failure) -> None:
        error = failures.error_of(failure)
        self._client.stop()
        if self._client.started:
            await self._cut_off(self._event_of(error))
        self._client.headers = [
            item
            for item in self._client.headers
            if item not in EVENT_STREAM and item[0] != b"content-type"
        ]
        body = self._accepted.surface.error_body(error, self._accepted.request_id)
        await self._client.whole(error.status, (JSON, *error.headers.items()), body)

    # --- step 7: the outcome

    async def _record(self) -> bool:
        """Make the outcome durable and settle the hold, once; False if it could not be kept."""
        return await self._recording.record()


async def _read_trailer(response: UpstreamResponse) -> None:
    """Read the proper end of a body whose terminal frame came, so that its connection is reused."""
    try:
        for _ in range(4):
            if await response.next_chunk_within(TRAILER_SECONDS) in (b"", None):
                return
    except UpstreamError:
        return

"""An endpoint of the data plane as raw ASGI: steps one to four of a request's life, in this order.

id -> key -> body -> request -> model, lane, price -> ways -> limits, hold -> INTENT

What differs between endpoints is their surface (`edge/translate/surface.py`).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final, NoReturn

from edge import errors
from edge.admission.admit import Admitted, Choice
from edge.admission.catalog import Candidate, Status
from edge.admission.claims import ClientKey, is_claimed
from edge.admission.grants import Grant
from edge.api import cors
from edge.api import headers as answer_headers
from edge.api.body_room import BodyRoom
from edge.api.client_side import BLANK_LINE, KEEP_ALIVE, ClientSide, SendWhole
from edge.api.exchange import Exchange
from edge.api.http import (
    EVENT_STREAM,
    JSON,
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    Sent,
    answer,
    api_key_of,
    header,
    read_body,
    sent_of,
)
from edge.api.recording import Accepted, Parts
from edge.api.ways import Way, bound, ways_of
from edge.core_link import CoreLink
from edge.errors import ApiError
from edge.metering.errors import SpoolFull, SpoolUnavailable
from edge.metering.records import Intent
from edge.server.cycle import WHOLE
from edge.translate.errors import InvalidRequest
from edge.translate.surface import EVENT_STREAM as EVENTS
from edge.translate.surface import ClientRequest, Surface, Terms
from kit.clock import now_micros
from kit.hold import RequestShape
from kit.ids import format_id, new_request_id
from kit.money import format_dollars
from kit.reasons import DomainError
from oneapi.admission.v1 import admission_service_pb2 as pb2
from oneapi.common.v1 import endpoint_pb2

MAX_IDEMPOTENCY_KEY: Final = 255
DECISIONS_MAX: Final = 3
"""How often a request is decided anew because its key or the catalogue changed meanwhile."""
_LIMITED: Final = 429
# The generated enums search their descriptors at each access.
_NOT_AVAILABLE: Final = int(Status.STATUS_NOT_AVAILABLE)
_GENERATE_CONTENT: Final = endpoint_pb2.ENDPOINT_GENERATE_CONTENT
_IN_FLIGHT: Final = pb2.ClaimIdempotencyKeyResponse.RESULT_IN_FLIGHT


@dataclass(slots=True)
class Decided:
    """A request that may be served, on these terms."""

    request: ClientRequest
    shape: RequestShape
    admitted: Admitted
    ways: list[Way]


class Endpoint:
    """One endpoint of one client API."""

    def __init__(
        self,
        parts: Parts,
        link: CoreLink,
        room: BodyRoom,
        surface: Surface,
        *,
        max_body_bytes: int,
        idempotency_pepper: bytes,
    ) -> None:
        """Serve with the shared parts; bodies up to the limit, and as there is room."""
        self._parts = parts
        self._link = link
        self._room = room
        self._surface = surface
        self._max_body_bytes = max_body_bytes
        self._pepper = idempotency_pepper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = new_request_id()
        try:
            await self._serve(scope, receive, send, request_id)
        finally:
            self._room.give_back(request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        headers = answer_headers.of_request(request_id)
        try:
            accepted = await self._accept(scope, receive, request_id, headers)
        except ApiError as error:
            await self._refuse(send, error, headers, request_id)
            return
        except ClientGone:
            return
        headers += answer_headers.of_terms(accepted.admitted)
        client = self._client(accepted.request, send, headers, scope[WHOLE])
        await Exchange(self._parts, accepted, client).run(scope)

    def _client(
        self, request: ClientRequest, send: Send, headers: Headers, whole: SendWhole
    ) -> ClientSide:
        if not request.stream:
            return ClientSide(send, headers, None, whole)
        silences = self._parts.silences
        keep_alive = BLANK_LINE if self._surface.endpoint == _GENERATE_CONTENT else KEEP_ALIVE
        if request.stream_type is EVENTS:
            return ClientSide(send, [*headers, *EVENT_STREAM], silences, whole, keep_alive)
        headers.append((b"content-type", request.stream_type))
        # Sound has no place for a keep-alive; JSON has, for a blank.
        return ClientSide(
            send, headers, silences if keep_alive is BLANK_LINE else None, whole, keep_alive
        )

    async def _refuse(
        self, send: Send, error: ApiError, headers: Headers, request_id: bytes
    ) -> None:
        body = self._surface.error_body(error, format_id("req", request_id))
        await answer(send, error.status, body, [*headers, JSON, *error.headers.items()])

    async def _accept(
        self, scope: Scope, receive: Receive, request_id: bytes, headers: Headers
    ) -> Accepted:
        """Return a request that is in the spool; `headers` gets what a page needs to read answers.

        Raises:
            ApiError: it is refused.
            ClientGone: nobody waits for it.
        """
        started = self._parts.clock.monotonic()
        sent = sent_of(scope["headers"])
        if b"origin" in sent:
            headers += cors.of_any_page(sent)
        key = api_key_of(sent, scope["query_string"])
        peer = scope["client"][0] if scope["client"] else None
        grant = await self._authenticated(key, peer, sent, headers)
        raw = await read_body(sent, receive, self._max_body_bytes, self._room, request_id)
        request = self._read(raw, sent, scope)
        del raw
        claimed = None
        try:
            for _ in range(DECISIONS_MAX):
                catalog = self._link.catalog
                decided = await self._decide(sent, grant, request, request_id)
                if b"idempotency-key" in sent and claimed is None:
                    # Last of all, so that a request that is refused leaves its key free.
                    claimed = await self._claimed(sent, decided, request_id)
                if self._parts.admission.stands(grant, catalog):
                    return self._begun(decided, request_id, started)
                # The key or the catalogue changed meanwhile: a revoked key must not get through.
                self._parts.admission.withdraw(decided.admitted)
                grant = await self._authenticated(key, peer, sent, headers)
            _refuse_what_keeps_changing()
        except BaseException:
            if claimed is not None:
                self._link.claims.give_up(claimed)
            raise

    async def _authenticated(
        self, key: str, peer: str | None, sent: Sent, headers: Headers
    ) -> Grant:
        grant = await self._parts.admission.authenticate(key, peer)
        if b"origin" in sent:
            headers += [one for one in cors.of_named_page(sent, grant) if one not in headers]
        return grant

    def _read(self, raw: bytes, sent: Sent, scope: Scope) -> ClientRequest:
        if self._link.catalog.endpoint_state(self._surface.endpoint) == _NOT_AVAILABLE:
            raise errors.endpoint_not_available()
        try:
            return self._surface.read(raw, sent, scope["path"], scope["query_string"])
        except InvalidRequest as error:
            raise errors.invalid(error.code, error.message, error.param) from None

    async def _decide(
        self, sent: Sent, grant: Grant, request: ClientRequest, request_id: bytes
    ) -> Decided:
        choice = self._choose(sent, grant, request)
        shape, ways = self._ways(grant, request, choice, request_id)
        admission = self._parts.admission
        try:
            if request.is_free:
                admitted = await admission.admit_free(grant, choice, request_id)
            else:
                admitted = await admission.admit(
                    grant,
                    choice,
                    shape,
                    request_id=request_id,
                    client_limit=request.token_limit,
                    max_cost=header(sent, b"x-max-cost"),
                )
        except ApiError as error:
            if error.status == _LIMITED and (left := self._link.limits.state(grant)) is not None:
                error.headers |= answer_headers.of_limits(left)
            raise
        return Decided(request, shape, admitted, ways)

    def _ways(
        self, grant: Grant, request: ClientRequest, choice: Choice, request_id: bytes
    ) -> tuple[RequestShape, list[Way]]:
        """Return what bounds the request, and how it reaches the candidates that may be tried.

        A fallback never meets one that cannot take it.
        """
        model, created = choice.model, now_micros(self._parts.clock) // 1_000_000
        text_id = format_id("req", request_id)

        def terms_of(candidate: Candidate) -> Terms:
            return Terms(
                candidate.upstream.name,
                candidate.upstream_model,
                candidate.surfaces,
                candidate.upstream.ends_with_terminal_frame,
                model.public_id,
                model.max_output_tokens,
                text_id,
                created,
            )

        order = self._parts.router.order(choice.route, grant.key_id + model.public_id.encode())
        try:
            shape = request.shape(model)
            ways = ways_of(request, order, choice.route.max_attempts, terms_of)
        except InvalidRequest as error:
            raise errors.invalid(error.code, error.message, error.param) from None
        bound(shape, ways, request.media_bytes)
        return shape, ways

    async def _claimed(self, sent: Sent, decided: Decided, request_id: bytes) -> ClientKey:
        try:
            return await self._claim(sent, decided.admitted.grant, request_id)
        except BaseException:
            self._parts.admission.withdraw(decided.admitted)
            raise

    def _begun(self, decided: Decided, request_id: bytes, started: float) -> Accepted:
        """Write the INTENT: from here on the request is accepted."""
        admitted = decided.admitted
        choice = admitted.choice
        intent = Intent(
            request_id=request_id,
            workspace_id=admitted.grant.workspace_id,
            key_id=admitted.grant.key_id,
            started_at_micros=now_micros(self._parts.clock),
            model_number=choice.model.number,
            requested_lane=choice.requested_lane,
            served_lane=choice.lane,
            endpoint=self._surface.endpoint,
            streamed=decided.request.stream,
            price_version=choice.price.number,
            hold_nanos=admitted.hold.nanos,
        )
        try:
            ticket = self._parts.spool.begin(intent, choice.price)
        except BaseException as error:
            self._parts.admission.withdraw(admitted)
            if isinstance(error, SpoolFull | SpoolUnavailable):
                raise errors.unavailable(
                    "not_recording", "This server cannot record requests now."
                ) from None
            raise
        return Accepted(
            self._surface,
            decided.request,
            decided.shape,
            admitted,
            decided.ways,
            intent,
            ticket,
            started,
        )

    def _choose(self, sent: Sent, grant: Grant, request: ClientRequest) -> Choice:
        choice = self._parts.admission.choose(
            grant, request.model, header(sent, b"x-delivery-lane"), request.service_tier
        )
        if choice.model.kind != self._surface.kind:
            raise errors.invalid(
                "model_not_for_endpoint", "This model is not served by this endpoint.", "model"
            )
        if choice.route.policy.spare_only and not self._parts.router.has_spare(choice.route):
            raise errors.lane_unavailable()
        return choice

    async def _claim(self, sent: Sent, grant: Grant, request_id: bytes) -> ClientKey:
        """Claim the client's idempotency key: the one call to core on the path, only if it is sent.

        No answer is kept to be replayed; a second request with the key is told about the first.
        """
        key = header(sent, b"idempotency-key") or ""
        if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY:
            raise errors.invalid("invalid_idempotency_key", "Idempotency-Key has 1 to 255 signs.")
        key_hash = hmac.digest(self._pepper, grant.workspace_id + key.encode(), "sha256")
        claimed = ClientKey(grant.workspace_id, key_hash, request_id)
        try:
            claim = await self._link.claims.claim(claimed)
        except DomainError as error:
            raise errors.from_domain(error) from None
        if not is_claimed(claim):
            raise _already(claim)
        return claimed


def _refuse_what_keeps_changing() -> NoReturn:
    raise errors.unavailable("changing", "The terms of this request keep changing.")


def _already(claim: pb2.ClaimIdempotencyKeyResponse) -> ApiError:
    if claim.result == _IN_FLIGHT:
        message = "A request with this Idempotency-Key still runs."
        error = ApiError(409, "request_in_progress", message, "idempotency_error")
    else:
        message = "This Idempotency-Key was used before."
        error = ApiError(409, "idempotency_key_reused", message, "idempotency_error")
        error.extra["charge"] = format_dollars(claim.charge_nanos)
    error.extra["request_id"] = format_id("req", claim.request_id)
    error.headers.update(errors.NO_RETRY)
    return error

"""Step five of a request's life: candidates in order until one answers; each attempt is recorded.

Until the first upstream byte was sent on, a failure leads to the next candidate. Once a request was
sent whole, only an error status, a reset or the first-byte time-out does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import orjson

from edge.admission.catalog import Candidate, Dialect, Policy, Upstream
from edge.metering.records import Attempt
from edge.translate.answer import JSON_TYPE
from edge.upstream import errors as upstream_errors
from edge.upstream.capacity import Place
from edge.upstream.client import UpstreamClient
from edge.upstream.message import Endpoint, Origin, Timeouts, UpstreamRequest
from edge.upstream.response import UpstreamResponse
from edge.upstream.routing import Router
from kit.clock import Clock
from oneapi.metering.v1 import usage_record_pb2 as usage

CONNECT_SECONDS: Final = 5.0
MAX_ERROR_BODY_BYTES: Final = 64 * 1024
MAX_ENDPOINTS: Final = 4_096
"""Paths with a model's name in them are as many as models."""
Header = tuple[bytes, bytes]
_OK: Final = 200
_REFUSED_KEY: Final = b'"API_KEY_INVALID"'
"""The reason in Google's 400 for a key that is wrong or has expired: not the client's affair."""
_RETRY_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,4})(?:\.\d{1,9})?s"')
"""When to come again, in the body of Google's errors (google.rpc.RetryInfo)."""
_RETRYABLE: Final = frozenset({401, 402, 403, 408, 409, 421, 425, 429})
"""Statuses below 500 that are about us and not the client: another upstream may do better."""

_CLASSES: Final[
    tuple[tuple[type[upstream_errors.UpstreamError], usage.ErrorClass.ValueType], ...]
] = (
    (upstream_errors.ConnectFailed, usage.ERROR_CLASS_CONNECT),
    (upstream_errors.ConnectTimeout, usage.ERROR_CLASS_CONNECT),
    (upstream_errors.PoolFull, usage.ERROR_CLASS_CONNECT),
    (upstream_errors.FirstByteTimeout, usage.ERROR_CLASS_FIRST_BYTE_TIMEOUT),
    (upstream_errors.IdleTimeout, usage.ERROR_CLASS_IDLE_TIMEOUT),
    (upstream_errors.BodyCut, usage.ERROR_CLASS_CUT),
    (upstream_errors.ResponseTooLarge, usage.ERROR_CLASS_TOO_LARGE),
    (upstream_errors.ProtocolViolation, usage.ERROR_CLASS_PROTOCOL),
)


def class_of(error: upstream_errors.UpstreamError) -> usage.ErrorClass.ValueType:
    """Return the recorded class of a failure."""
    for kind, error_class in _CLASSES:
        if isinstance(error, kind):
            return error_class
    return usage.ERROR_CLASS_RESET


def class_of_status(status: int) -> usage.ErrorClass.ValueType:
    """Return the recorded class of an upstream's status that is not 200."""
    if status < 400:
        return usage.ERROR_CLASS_PROTOCOL
    if status in (401, 402, 403):
        return usage.ERROR_CLASS_UPSTREAM_AUTH
    if status == 429:
        return usage.ERROR_CLASS_UPSTREAM_RATE_LIMITED
    if status >= 500:
        return usage.ERROR_CLASS_UPSTREAM_FAILED
    return usage.ERROR_CLASS_UPSTREAM_REFUSED


@dataclass(slots=True)
class Failure:
    """How the last attempt failed: a class, and an upstream's error answer where there is one."""

    error_class: usage.ErrorClass.ValueType
    status: int = 0
    body: bytes = b""
    retry_after: bytes | None = None


@dataclass(slots=True)
class Answer:
    """An upstream that answered with success; the body is still to come."""

    candidate: Candidate
    response: UpstreamResponse


@dataclass(slots=True)
class Attempts:
    """The attempts of one request."""

    client: UpstreamClient
    router: Router
    clock: Clock
    started: float
    made: list[Attempt] = field(default_factory=list)
    current: Candidate | None = None
    """The candidate that may be at work: it is asked, was when the client left, or has answered."""
    place: Place | None = None
    """Where the request is counted as running."""

    async def run(
        self,
        candidates: list[Candidate],
        policy: Policy,
        build: Callable[[Candidate], UpstreamRequest],
        is_over: Callable[[], bool],
    ) -> Answer | Failure:
        """Return the first success, or how the last candidate failed.

        No further candidate is asked once `is_over` says that nobody waits any more. After a
        success the request counts as running at its upstream until `leave`.
        """
        failure = Failure(usage.ERROR_CLASS_NO_CAPACITY)
        for candidate in candidates:
            self.leave()
            if is_over():
                break
            capacity = self.router.capacity
            self.place = capacity.enter_now(candidate, policy)
            if self.place is None:
                self.place = await capacity.enter(candidate, policy)
            if self.place is None or is_over():
                continue
            self.current = candidate
            begun = self.clock.monotonic()
            try:
                response = await self.client.send(build(candidate))
            except upstream_errors.UpstreamError as error:
                self.current = None
                failure = Failure(class_of(error))
                self._note(candidate, 0, failure.error_class, begun)
                self.router.failed(candidate.upstream.number)
                continue
            except asyncio.CancelledError:
                # Nobody waits any more; the upstream may bill it all the same.
                self._note(candidate, 0, usage.ERROR_CLASS_UNSPECIFIED, begun)
                raise
            if response.status == _OK and _is_plain(response):
                self._note(candidate, _OK, usage.ERROR_CLASS_UNSPECIFIED, begun)
                self.router.succeeded(candidate.upstream.number, self.clock.monotonic() - begun)
                return Answer(candidate, response)
            # It serves nothing: nobody pays for it, and nothing of it is to be drained.
            self.current = None
            self._note(candidate, response.status, class_of_status(response.status), begun)
            failure = await self._refusal(candidate, response)
            self.made[-1] = replace(self.made[-1], error_class=failure.error_class)
            if failure.error_class == usage.ERROR_CLASS_UPSTREAM_REFUSED and (
                failure.status not in _RETRYABLE
            ):
                return failure
            self.router.failed(candidate.upstream.number)
        return failure

    def leave(self) -> None:
        """Count the request as running no more."""
        if self.place is not None:
            self.place.leave()
            self.place = None

    async def _refusal(self, candidate: Candidate, response: UpstreamResponse) -> Failure:
        status = response.status
        retry_after = next((v for k, v in response.headers if k == b"retry-after"), None)
        try:
            body = await response.read(MAX_ERROR_BODY_BYTES)
        except upstream_errors.UpstreamError:
            body = b""
        finally:
            await response.aclose()
        if retry_after is None and (told := _RETRY_DELAY.search(body)) is not None:
            retry_after = told.group(1)
        error_class = class_of_status(status)
        if candidate.upstream.dialect == Dialect.DIALECT_GOOGLE and _refuses_key(body):
            error_class = usage.ERROR_CLASS_UPSTREAM_AUTH
        if quotes_credential(body, candidate):
            body = b""
        return Failure(error_class, status, body, retry_after)

    def _note(
        self,
        candidate: Candidate,
        status: int,
        error_class: usage.ErrorClass.ValueType,
        begun: float,
    ) -> None:
        now = self.clock.monotonic()
        self.made.append(
            Attempt(
                upstream_number=candidate.upstream.number,
                http_status=status,
                error_class=error_class,
                started_ms=int((begun - self.started) * 1000),
                duration_ms=int((now - begun) * 1000),
            )
        )


def _is_plain(response: UpstreamResponse) -> bool:
    """Say whether the body is as we asked for it; what is encoded we could not read or edit."""
    for name, value in response.headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            return False
    return True


def quotes_credential(text: bytes, candidate: Candidate) -> bool:
    """Say whether an upstream's error repeats the credential that we sent: no client gets that."""
    credential = candidate.upstream.credential
    return bool(credential) and credential in text


def _refuses_key(body: bytes) -> bool:
    """Say whether an error of Google's, a 400 like any other, is about our credential (AIP-193)."""
    if _REFUSED_KEY not in body:
        return False
    try:
        error = orjson.loads(body)["error"]
        return any(one.get("reason") == "API_KEY_INVALID" for one in error["details"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return False


def timeouts_of(candidate: Candidate) -> Timeouts:
    """Return the deadlines of a candidate."""
    return _timeouts(candidate.first_byte_timeout_seconds, candidate.idle_timeout_seconds)


@lru_cache(maxsize=256)
def _timeouts(first_byte_seconds: float, idle_seconds: float) -> Timeouts:
    return Timeouts(CONNECT_SECONDS, first_byte_seconds, idle_seconds)


class Endpoints:
    """Where upstreams take requests: made once for each upstream of the catalogue and path."""

    def __init__(self) -> None:
        """Know none yet."""
        self._made: dict[tuple[int, bytes, tuple[Header, ...]], Endpoint] = {}
        self._upstreams: dict[int, Upstream] = {}

    def of(
        self,
        upstream: Upstream,
        path: bytes,
        headers: tuple[Header, ...] = (),
        content_type: bytes = JSON_TYPE,
    ) -> Endpoint:
        """Return where an upstream takes requests at a path, its credential included.

        Another state of the upstream, with another URL or credential, takes the place of this one.
        """
        if content_type != JSON_TYPE:
            return _endpoint(upstream, path, headers, content_type)  # its boundary is unique
        if self._upstreams.get(upstream.number) is not upstream:
            self._forget(upstream.number)
            self._upstreams[upstream.number] = upstream
        key = (upstream.number, path, headers)
        endpoint = self._made.get(key)
        if endpoint is None:
            endpoint = _endpoint(upstream, path, headers, content_type)
            if len(self._made) >= MAX_ENDPOINTS:
                self._made.clear()
            self._made[key] = endpoint
        return endpoint

    def _forget(self, number: int) -> None:
        """Keep no credential of an earlier state of an upstream, whatever path it was for."""
        self._made = {key: made for key, made in self._made.items() if key[0] != number}


def _endpoint(
    upstream: Upstream, path: bytes, headers: tuple[Header, ...], content_type: bytes
) -> Endpoint:
    origin = Origin.parse(upstream.base_url)
    every = [(b"content-type", content_type), *_credential(upstream), *headers]
    return Endpoint(origin, origin.target(path), tuple(every))


def _credential(upstream: Upstream) -> list[Header]:
    """Return the header that each dialect's credentials go in (providers' API references)."""
    if not upstream.credential:
        return []
    if upstream.dialect == Dialect.DIALECT_ANTHROPIC:
        return [(b"x-api-key", upstream.credential)]
    if upstream.dialect == Dialect.DIALECT_GOOGLE:
        return [(b"x-goog-api-key", upstream.credential)]
    return [(b"authorization", b"Bearer " + upstream.credential)]

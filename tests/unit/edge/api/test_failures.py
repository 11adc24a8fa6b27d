"""What a client is told when no upstream served its request."""

from __future__ import annotations

import orjson
import pytest

from edge.api.failures import error_of
from edge.upstream.attempts import Failure
from oneapi.metering.v1.usage_record_pb2 import ErrorClass as Class


@pytest.mark.parametrize(
    ("error_class", "status", "code"),
    [
        (Class.ERROR_CLASS_CONNECT, 502, "upstream_failed"),
        (Class.ERROR_CLASS_RESET, 502, "upstream_failed"),
        (Class.ERROR_CLASS_UPSTREAM_FAILED, 502, "upstream_failed"),
        (Class.ERROR_CLASS_UPSTREAM_AUTH, 502, "upstream_failed"),
        (Class.ERROR_CLASS_PROTOCOL, 502, "upstream_failed"),
        (Class.ERROR_CLASS_CUT, 502, "upstream_cut"),
        (Class.ERROR_CLASS_FIRST_BYTE_TIMEOUT, 504, "upstream_timeout"),
        (Class.ERROR_CLASS_IDLE_TIMEOUT, 504, "upstream_timeout"),
        (Class.ERROR_CLASS_REQUEST_DEADLINE, 504, "request_deadline"),
        (Class.ERROR_CLASS_SPOOL, 503, "not_recorded"),
        (Class.ERROR_CLASS_INTERNAL, 500, "internal_error"),
    ],
)
def test_each_failure_has_its_status(error_class: Class.ValueType, status: int, code: str) -> None:
    """A timeout is told apart from a failure, ours from the upstream's."""
    error = error_of(Failure(error_class, 401, b'{"error":{"message":"their key"}}'))
    assert (error.status, error.code) == (status, code)
    assert b"their key" not in error.body()


def test_a_refusal_is_passed_on_in_our_envelope() -> None:
    """What the provider says of the request helps its sender."""
    told = {"error": {"message": "too long", "type": "invalid", "param": "messages", "code": "c"}}
    failure = Failure(Class.ERROR_CLASS_UPSTREAM_REFUSED, 400, orjson.dumps(told))
    error = error_of(failure)
    assert (error.status, orjson.loads(error.body())) == (400, told)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":5}', b'{"error":{"message":{"a":1}}}', b"\xff"]
)
def test_a_refusal_that_cannot_be_read_is_still_an_error(body: bytes) -> None:
    """Whatever the provider sent, the client gets the four keys."""
    error = error_of(Failure(Class.ERROR_CLASS_UPSTREAM_REFUSED, 422, body))
    found = orjson.loads(error.body())["error"]
    assert (error.status, found["code"]) == (422, "upstream_refused")
    assert found["message"]


def test_a_plain_text_error_is_passed_on() -> None:
    """Some providers send a string."""
    error = error_of(Failure(Class.ERROR_CLASS_UPSTREAM_REFUSED, 400, b'{"error":"no such model"}'))
    assert error.message == "no such model"


@pytest.mark.parametrize(("told", "said"), [(b"9", b"9"), (None, b"5"), (b"Wed, 1", b"5")])
def test_a_rate_limit_of_the_upstream_says_when_to_come_again(
    told: bytes | None, said: bytes
) -> None:
    """A date, or nothing, becomes five seconds."""
    failure = Failure(Class.ERROR_CLASS_UPSTREAM_RATE_LIMITED, 429, b"", told)
    assert error_of(failure).headers == {b"retry-after": said}

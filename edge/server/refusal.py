"""Answers to requests that never reach the application: OpenAI's envelope and a request id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from kit.ids import format_id, new_request_id


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused. `message` is ours and holds nothing of the request."""

    status: int
    code: str
    message: str
    type: str = "invalid_request_error"

    def body(self) -> bytes:
        """Return the JSON that an OpenAI SDK shows its user."""
        error = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return json.dumps({"error": error}, separators=(",", ":")).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of the answer; the connection ends with it."""
        return [
            (b"content-type", b"application/json"),
            (b"x-request-id", format_id("req", new_request_id()).encode()),
            (b"connection", b"close"),
        ]

    def render(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer as it goes on the wire."""
        body = self.body()
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}".encode()]
        length = (b"content-length", b"%d" % len(body))
        lines += [b"%s: %s" % each for each in (*default_headers, *self.headers(), length)]
        return b"\r\n".join([*lines, b"", body])


def bad_request(message: str) -> Refusal:
    """Refuse what is not a well-formed HTTP/1.1 request."""
    return Refusal(400, "bad_request", message)


MALFORMED = bad_request("The request is not valid HTTP/1.1.")
TARGET_TOO_LONG = Refusal(414, "uri_too_long", "The URL of the request is too long.")
HEADERS_TOO_LARGE = Refusal(
    431, "request_headers_too_large", "The headers of the request are too many or too large."
)
TIMED_OUT = Refusal(408, "request_timeout", "The request did not arrive in time.")
TOO_MANY_CONNECTIONS = Refusal(
    503, "too_many_connections", "This server has no room for a connection.", "server_error"
)
INTERNAL = Refusal(
    500, "internal_error", "A fault of ours. The request id finds it.", "server_error"
)

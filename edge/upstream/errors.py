"""What can go wrong between us and an upstream, one class for each situation.

UpstreamError
├── RequestInvalid        the request cannot be put on the wire; nothing was sent
├── ConnectFailed         no connection: refused, unreachable, name unknown, certificate refused
├── ConnectTimeout        no connection within `connect_seconds`
├── PoolFull              no free connection: too many waiters, or none came within the same time
├── WriteFailed           the connection ended or stalled before the request was sent whole
├── FirstByteTimeout      no complete response headers within `first_byte_seconds`
├── IdleTimeout           no byte of the body for `idle_seconds`
├── ConnectionReset       the connection ended before complete response headers
├── ProtocolViolation     the upstream does not speak HTTP/1.1, or went over a limit on headers
├── BodyCut               the connection ended before the proper end of the body
└── ResponseTooLarge      the body is longer than the caller reads

None carries text from the wire or of a cause: a provider's message can hold a prompt. Every one
says whether the request was handed to the network whole (`request_sent_whole`): only if not is it
certain that the upstream has not acted on it.
"""

from __future__ import annotations

from typing import ClassVar


class UpstreamError(Exception):
    """An exchange with an upstream failed; `str()` is a fixed sentence of ours."""

    sentence: ClassVar[str] = "The upstream exchange failed."

    def __init__(self, *, request_sent_whole: bool) -> None:
        super().__init__(self.sentence)
        self.request_sent_whole = request_sent_whole

    def anew(self) -> UpstreamError:
        """Return the same failure without a traceback, to be raised in its stead.

        A stored exception that is raised keeps the frames it passed, and with them the request,
        until the garbage collector comes by.
        """
        again = type(self).__new__(type(self), *self.args)
        again.__dict__.update(self.__dict__)
        return again


class RequestInvalid(UpstreamError):
    """A header or the target holds bytes that would break the request's framing."""

    sentence = "The request cannot be framed as HTTP/1.1."

    def __init__(self) -> None:
        super().__init__(request_sent_whole=False)


class ConnectFailed(UpstreamError):
    """The upstream refused, could not be reached or found, or its certificate did not hold."""

    sentence = "No connection to the upstream."

    def __init__(self) -> None:
        super().__init__(request_sent_whole=False)


class ConnectTimeout(UpstreamError):
    """Name look-up, TCP and TLS together took longer than `connect_seconds`."""

    sentence = "The connection to the upstream took too long."

    def __init__(self) -> None:
        super().__init__(request_sent_whole=False)


class PoolFull(UpstreamError):
    """Every connection to this origin is in use and the queue is full or did not move in time."""

    sentence = "All connections to the upstream are in use."

    def __init__(self) -> None:
        super().__init__(request_sent_whole=False)


class WriteFailed(UpstreamError):
    """The connection ended, or took no byte for `idle_seconds`, while the request was written."""

    sentence = "The request was not sent whole."


class FirstByteTimeout(UpstreamError):
    """The upstream took the request but sent no complete headers in `first_byte_seconds`."""

    sentence = "The upstream did not begin to answer in time."


class IdleTimeout(UpstreamError):
    """The upstream fell silent for `idle_seconds` inside the body."""

    sentence = "The upstream fell silent inside its answer."


class ConnectionReset(UpstreamError):
    """The upstream ended the connection before it had sent complete headers."""

    sentence = "The upstream ended the connection before it answered."


class ProtocolViolation(UpstreamError):
    """What the upstream sent is not HTTP/1.1, or its headers are over our limits."""

    sentence = "The upstream's answer is not valid HTTP/1.1."


class BodyCut(UpstreamError):
    """The body ended before its last chunk or its Content-Length.

    `clean_close` is true when the upstream closed in good order: for a body without framing
    (`framing == "close"`) that is the only end there is, and the caller decides what it means.
    """

    sentence = "The upstream's answer was cut."

    def __init__(self, *, clean_close: bool) -> None:
        super().__init__(request_sent_whole=True)
        self.clean_close = clean_close


class ResponseTooLarge(UpstreamError):
    """The body is longer than `limit_bytes`."""

    sentence = "The upstream's answer is too large."

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(request_sent_whole=True)
        self.limit_bytes = limit_bytes

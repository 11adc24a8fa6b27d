"""Small parts of raw ASGI: headers by allow-list, bounded bodies, answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from edge.api.body_room import FREE_BYTES, BodyRoom
from edge.errors import ApiError, invalid

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Sent = Mapping[bytes, bytes]
"""The headers of a request by name; of repeated ones that we do not read, the last."""

READ_HEADERS: Final = frozenset(
    {
        *(b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"content-encoding"),
        *(b"x-delivery-lane", b"x-max-cost", b"idempotency-key", b"content-type"),
        *(b"origin", b"sec-fetch-mode", b"sec-fetch-site"),
        *(b"anthropic-version", b"anthropic-beta"),
    }
)
"""What the data plane reads; each may come once."""
LISTS: Final = frozenset({b"anthropic-beta"})
"""But these: proxies may split a list over several lines (RFC 9110, 5.3)."""
JSON: Final = (b"content-type", b"application/json")
EVENT_STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class ClientGone(Exception):
    """The client left before its request was whole."""


def sent_of(headers: Headers) -> Sent:
    """Return the headers of a request by name.

    Raises:
        ApiError: one that we read is there twice: who reads the other takes it for another request.
    """
    sent = dict(headers)
    if len(sent) < len(headers):
        names = [name for name, _ in headers if name in READ_HEADERS - LISTS]
        if len(set(names)) < len(names):
            raise invalid("repeated_header", "A header of the request is there twice.")
        for name in LISTS & sent.keys():
            sent[name] = b",".join(value for one, value in headers if one == name)
    return sent


def header(sent: Sent, name: bytes) -> str | None:
    """Return the value of a header, None if it is not there.

    A value that is not ASCII stays one, so that its reader refuses it instead of missing it.
    """
    found = sent.get(name)
    return None if found is None else str(found, "latin-1")


async def read_body(
    sent: Sent, receive: Receive, limit_bytes: int, room: BodyRoom, request_id: bytes
) -> bytes:
    """Return the whole request body; a large one takes room, which the caller gives back.

    Raises:
        ApiError: it is encoded (415), larger than the limit (413), or there is no room (503).
        ClientGone: the client left meanwhile.
    """
    if sent.get(b"content-encoding", b"identity") != b"identity":
        raise ApiError(415, "content_encoding_not_supported", "Send the body without encoding.")
    length = sent.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if size > FREE_BYTES:
            room.hold(request_id, size)
        if not message.get("more_body", False):
            return part if not parts else b"".join((*parts, part))
        parts.append(part)


def _too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        413, "request_too_large", f"The request body is larger than {limit_bytes} bytes."
    )


async def answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Send a whole answer."""
    all_headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


def api_key_of(sent: Sent, query: bytes) -> str:
    """Return the API key of a request, from the headers that the SDKs use.

    Raises:
        ApiError: there is none, or there is one in the URL, where others would log it.
    """
    if b"key=" in query and any(part.startswith(b"key=") for part in query.split(b"&")):
        raise invalid("api_key_in_url", "Send the API key in a header, never in the URL.")
    bearer = header(sent, b"authorization")
    if bearer is not None and bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    for name in (b"x-api-key", b"api-key", b"x-goog-api-key"):
        value = header(sent, name)
        if value is not None:
            return value.strip()
    raise ApiError(
        401,
        None,
        "You didn't provide an API key. Send it in an Authorization header: Bearer YOUR_KEY.",
    )

"""Pages in browsers that call the API themselves: a choice of each workspace, off by default.

A key in a page is a key in public, so a workspace names the origins that may do so. A browser says
where a request comes from (`Origin`) and that a page's script wants the answer (`Sec-Fetch-Mode`,
W3C Fetch Metadata); no script can change either. From an origin that is not named such a request is
refused before anything is held or sent, with the header that lets the page read why. A preflight
carries no key: it is answered for our paths, and promises nothing.
"""

from __future__ import annotations

import re
from typing import Final

from edge.admission.grants import Grant
from edge.api.http import Headers, Scope, Send, Sent
from edge.errors import ApiError

PREFLIGHT_SECONDS: Final = 7_200
"""How long a browser may remember a preflight; none remembers it for longer."""
MAX_NAMES_BYTES: Final = 2_048
_EXPOSED: Final = b", ".join(
    (
        *(b"x-request-id", b"request-id", b"x-delivery-lane", b"x-1api-max-tokens-applied"),
        *(b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests"),
        *(b"x-ratelimit-reset-requests", b"x-ratelimit-limit-tokens"),
        *(b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
        *(b"retry-after", b"retry-after-ms", b"x-should-retry"),
        # Of files of the archive: what a script needs to go on after a cut, and to check them.
        *(b"etag", b"accept-ranges", b"content-range", b"content-disposition", b"repr-digest"),
    )
)
_USUAL_NAMES: Final = b"authorization, content-type"
_VARY: Final = (b"vary", b"origin")
# RFC 6454, 7: a scheme and an authority in ASCII, as long as those that a workspace may name.
# `null` is every sandboxed page at once.
_ORIGIN: Final = re.compile(rb"[a-z][a-z0-9+.-]{0,31}://[A-Za-z0-9.:\[\]_-]{1,256}")
_NAMES: Final = re.compile(rb"[A-Za-z0-9-]{1,64}(?: *, *[A-Za-z0-9-]{1,64})*")


def of_any_page(sent: Sent) -> Headers:
    """Return what lets a page read an error of ours, whoever it belongs to."""
    return _allowing(sent[b"origin"]) if _is_of_page(sent) else []


def of_named_page(sent: Sent, grant: Grant) -> Headers:
    """Return what lets a page of an origin that the workspace names read the answer.

    Raises:
        ApiError: 403, the request comes from a page whose origin it does not name.
    """
    origin = sent[b"origin"]
    if origin.decode("latin-1") in grant.cors_origins:
        return _allowing(origin)
    if _is_of_page(sent):
        raise ApiError(
            403,
            "origin_not_allowed",
            "The workspace of this API key does not allow pages of this origin to use it.",
        )
    return []


def is_preflight(scope: Scope) -> bool:
    """Say whether an OPTIONS request is a browser's question and not somebody's own."""
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


async def answer_preflight(scope: Scope, send: Send) -> None:
    """Answer 204: that methods and headers may be sent. It says nothing about any workspace."""
    sent = dict(scope["headers"])
    names = sent.get(b"access-control-request-headers", b"").strip()
    if len(names) > MAX_NAMES_BYTES or _NAMES.fullmatch(names) is None:
        names = _USUAL_NAMES
    headers = [
        *_origin_of(sent[b"origin"]),
        _VARY,
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", names),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_of_page(sent: Sent) -> bool:
    """Say whether a script of another origin's page wants the answer."""
    return sent.get(b"sec-fetch-mode") == b"cors" and sent.get(b"sec-fetch-site") != b"same-origin"


def _allowing(origin: bytes) -> Headers:
    return [*_origin_of(origin), _VARY, (b"access-control-expose-headers", _EXPOSED)]


def _origin_of(origin: bytes) -> Headers:
    if _ORIGIN.fullmatch(origin) is None:
        return []
    return [(b"access-control-allow-origin", origin)]

"""How a request reaches upstreams: which candidates may be tried, and its translation for each.

A body is written anew for an upstream of another API, and its size bounds what is held. So it is
written before the hold for those that may be tried, and for no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge.admission.catalog import Candidate
from edge.translate.errors import InvalidRequest
from edge.translate.surface import ClientRequest, Terms, Translation
from kit.hold import RequestShape


# Made for each request: not frozen, which would double the time of making it.
@dataclass(slots=True)
class Way:
    """A candidate, and how the request reaches it."""

    candidate: Candidate
    translation: Translation


def ways_of(
    request: ClientRequest,
    candidates: Iterable[Candidate],
    most: int,
    terms_of: Callable[[Candidate], Terms],
) -> list[Way]:
    """Return the first candidates, at most so many, that can take the request.

    Raises:
        InvalidRequest: none can; the first refusal.
    """
    refusal: InvalidRequest | None = None
    found: list[Way] = []
    for candidate in candidates:
        try:
            found.append(Way(candidate, request.translation(terms_of(candidate))))
        except InvalidRequest as error:
            refusal = refusal or error
            continue
        if len(found) == most:
            break
    if refusal is not None and not found:
        raise refusal
    return found


def bound(shape: RequestShape, ways: list[Way], media_bytes: int) -> None:
    """Raise the bound of a request's text to the longest body that may be sent.

    What is written anew may be longer than what the client wrote; `media_bytes` count elsewhere.
    """
    for way in ways:
        text_bytes = way.translation.written_bytes - media_bytes
        shape.text_bytes = max(shape.text_bytes, text_bytes)

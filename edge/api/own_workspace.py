"""Who asks about the workspace of a key, and which pages may read the answer."""

from __future__ import annotations

from starlette.requests import Request

from edge.admission.admit import Admission
from edge.admission.grants import Grant
from edge.api import cors
from edge.api.http import Headers, api_key_of, sent_of


async def grant_of(request: Request, admission: Admission, for_page: dict[str, str]) -> Grant:
    """Return the grant of a request's key; `for_page` gets what a page needs to read the answer.

    Raises:
        ApiError: no good key, or a page of an origin that the workspace does not name.
    """
    sent = sent_of(request.scope["headers"])
    if b"origin" in sent:
        for_page |= _as_text(cors.of_any_page(sent))
    key = api_key_of(sent, request.scope["query_string"])
    peer = request.client.host if request.client else None
    grant = await admission.authenticate(key, peer)
    if b"origin" in sent:
        for_page |= _as_text(cors.of_named_page(sent, grant))
    return grant


def _as_text(headers: Headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}

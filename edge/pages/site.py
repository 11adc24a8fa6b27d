"""The public pages and /openapi.json: made once for each catalogue, and anew when a price begins.

    /  /models  /models/{id}  /pricing  /docs/api-reference  /openapi.json  /assets/…

Anyone may ask, as often as they like: what is asked for waits ready, in the same bytes for all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.admission.catalog import Catalog
from edge.pages import contents
from edge.pages.openapi import document
from edge.pages.render import ASSETS, Asset
from kit.clock import Clock, now_micros

SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
ASK_AGAIN: Final = "public, no-cache"
"""May be kept, and is asked about each time: a price that has changed is never shown as it was."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"

Make = Callable[[Catalog, int, str], bytes | None]
"""Makes a page of a catalogue at a time (microseconds) for an origin; None where there is none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A page as it is until the catalogue changes, or the time comes; that there is none too."""

    catalog: Catalog
    from_micros: int
    until_micros: int | None
    body: bytes | None
    etag: str

    def holds(self, catalog: Catalog, at_micros: int) -> bool:
        """Say whether this is still the page. A clock that was put back makes it anew."""
        if self.catalog is not catalog or at_micros < self.from_micros:
            return False
        return self.until_micros is None or at_micros < self.until_micros


class Site:
    """Answers the public pages from the catalogue that this edge has."""

    def __init__(self, catalog: Callable[[], Catalog], clock: Clock, origin: str) -> None:
        """Show the address that clients are to use, such as `https://api.1api.club`."""
        self._catalog = catalog
        self._clock = clock
        self._origin = origin
        self._kept: dict[str, Kept] = {}
        self._making = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of all pages."""
        pages: list[tuple[str, Make, str]] = [
            ("/", contents.front, HTML),
            ("/models", contents.models, HTML),
            ("/pricing", contents.pricing, HTML),
            ("/docs/api-reference", contents.reference, HTML),
            ("/openapi.json", _openapi, JSON),
        ]
        return [
            *(Route(path, self._page(path, make, kind)) for path, make, kind in pages),
            *(Route(asset.path, _asset(asset)) for asset in ASSETS),
            Route("/models/{model:path}", self._model),
        ]

    def _page(self, name: str, make: Make, media_type: str) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            kept = await self._ready(name, make)
            return _answer(request, kept, media_type)

        return answer

    async def _model(self, request: Request) -> Response:
        """Answer the page of one model; what is kept are models of the catalogue only."""
        name = request.path_params["model"].replace("%2F", "/")
        model = self._catalog().named(name)
        kept = None
        if model is not None:
            public_id = model.public_id
            kept = await self._ready(
                f"/models/{public_id}",
                lambda catalog, at, origin: contents.model(catalog, at, origin, public_id),
            )
        if kept is None or kept.body is None:
            return Response(contents.no_such_model(), 404, SECURITY_HEADERS, HTML)
        return _answer(request, kept, HTML)

    async def _ready(self, name: str, make: Make) -> Kept:
        """Return a page, made in a thread if need be: requests go on meanwhile."""
        kept = self._holding(name)
        if kept is not None:
            return kept
        async with self._making:
            kept = self._holding(name)
            if kept is not None:
                return kept
            catalog, at = self._catalog(), now_micros(self._clock)
            body = await asyncio.to_thread(make, catalog, at, self._origin)
            self._kept = {key: one for key, one in self._kept.items() if one.holds(catalog, at)}
            kept = Kept(catalog, at, catalog.next_price_change(at), body, _etag(body or b""))
            self._kept[name] = kept
            return kept

    def _holding(self, name: str) -> Kept | None:
        kept = self._kept.get(name)
        holds = kept is not None and kept.holds(self._catalog(), now_micros(self._clock))
        return kept if holds else None


def _openapi(catalog: Catalog, _at_micros: int, origin: str) -> bytes:
    return orjson.dumps(document(catalog, origin))


def _answer(request: Request, kept: Kept, media_type: str) -> Response:
    headers = {**SECURITY_HEADERS, "cache-control": ASK_AGAIN, "etag": kept.etag}
    if media_type == JSON:
        # Tools for descriptions of APIs are often pages; what anyone may read any page may.
        headers["access-control-allow-origin"] = "*"
    if _knows(request, kept.etag):
        return Response(None, 304, headers)
    return Response(kept.body, 200, headers, media_type)


def _knows(request: Request, etag: str) -> bool:
    """Say whether a cache has these bytes (RFC 9110, 13.1.2: weak comparison)."""
    known = request.headers.get("if-none-match", "")
    marks = {mark.strip().removeprefix("W/") for mark in known.split(",")}
    return etag in marks or known.strip() == "*"


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _asset(asset: Asset) -> Callable[[Request], object]:
    headers = {**SECURITY_HEADERS, "cache-control": FOR_EVER}

    async def answer(_request: Request) -> Response:
        return Response(asset.body, 200, headers, asset.media_type)

    return answer

"""The site as caches, browsers and strangers see it."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette

from edge.admission.catalog import Catalog, Model
from edge.pages.render import ICON, STYLE
from edge.pages.site import SECURITY_HEADERS, Site
from tests.unit.edge.admission.doubles import ManualClock
from tests.unit.edge.pages.page_world import SECOND, add_price, small_catalog, small_snapshot

PATHS = ("/", "/models", "/models/demo", "/pricing", "/docs/api-reference", "/openapi.json")


class Visit:
    """A site whose catalogue and clock a test moves."""

    def __init__(self, catalog: Catalog | None = None) -> None:
        self.catalog = catalog or small_catalog()
        self.clock = ManualClock()
        site = Site(lambda: self.catalog, self.clock, "https://api.example.com")
        transport = httpx.ASGITransport(Starlette(routes=site.routes()))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    @property
    def now_micros(self) -> int:
        """Return what the clock says."""
        return self.clock.now_ns() // 1_000

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return await self.client.get(path, headers=headers)


async def test_every_page_is_guarded_and_kept_by_its_mark() -> None:
    """No script, no frame, nothing from elsewhere; a cache is told that nothing changed."""
    visit = Visit()
    for path in PATHS:
        first = await visit.get(path)
        assert first.status_code == 200
        assert SECURITY_HEADERS.items() <= dict(first.headers).items()
        assert first.headers["cache-control"] == "public, no-cache"
        again = await visit.get(path, **{"if-none-match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert (await visit.get(path, **{"if-none-match": '"other"'})).status_code == 200


async def test_a_page_is_made_once_for_a_catalogue() -> None:
    """And anew for the next one."""
    visit = Visit()
    first = (await visit.get("/models")).headers["etag"]
    visit.clock.pass_time(1_000.0)
    assert (await visit.get("/models")).headers["etag"] == first
    message = small_snapshot(2)
    message.models[1].enabled = False
    visit.catalog = Catalog(message)
    assert (await visit.get("/models")).headers["etag"] != first


async def test_a_price_is_shown_from_its_instant_on() -> None:
    """The page of before is not kept any longer."""
    visit = Visit()
    message = small_snapshot()
    add_price(message, 1, visit.now_micros + 10 * SECOND, 123_456_789_000)
    visit.catalog = Catalog(message)
    before = (await visit.get("/pricing")).text
    visit.clock.pass_time(9.0)
    assert (await visit.get("/pricing")).text == before
    visit.clock.pass_time(1.0)
    after = (await visit.get("/pricing")).text
    assert "123.456789" in after
    assert "123.456789" not in before


async def test_files_of_the_pages_may_be_kept_for_ever() -> None:
    """Their paths change with them."""
    visit = Visit()
    for asset in (STYLE, ICON):
        answer = await visit.get(asset.path)
        assert answer.headers["content-type"].startswith(asset.media_type)
        assert answer.headers["cache-control"].endswith("immutable")
        assert answer.content == asset.body


async def test_a_model_is_found_by_any_of_its_names() -> None:
    """An alias, and a slash that was encoded; one that there is not is told without its name."""
    visit = Visit()
    for path in ("/models/demo-latest", "/models/maker/tiered", "/models/maker%2Ftiered"):
        assert (await visit.get(path)).status_code == 200
    nothing = await visit.get("/models/secret-canary")
    assert nothing.status_code == 404
    assert "canary" not in nothing.text


class CountedCatalog(Catalog):
    """Counts how often all models are looked through."""

    looks = 0

    def servable(self, at_micros: int, *, zero_retention: bool = False) -> list[Model]:
        """Return the models that can be served."""
        self.looks += 1
        return super().servable(at_micros, zero_retention=zero_retention)


async def test_that_a_model_has_no_page_is_found_out_once() -> None:
    """It is named, but not served; until a price begins or the catalogue changes."""
    visit = Visit()
    message = small_snapshot()
    del message.prices[:]
    add_price(message, 1, visit.now_micros + 10 * SECOND, 1_000)
    visit.catalog = catalog = CountedCatalog(message)
    for path in ("/models/demo", "/models/demo-latest") * 3:
        answer = await visit.get(path, **{"if-none-match": "*"})
        assert (answer.status_code, "etag" in answer.headers) == (404, False)
    assert catalog.looks == 1
    visit.clock.pass_time(10.0)
    assert (await visit.get("/models/demo")).status_code == 200
    visit.catalog = CountedCatalog(small_snapshot())
    assert (await visit.get("/models/demo")).status_code == 200


async def test_strangers_cannot_make_it_keep_more() -> None:
    """Pages are kept for models of the catalogue only, each once."""
    visit = Visit()
    site = Site(lambda: visit.catalog, visit.clock, "https://api.example.com")
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=site.routes())), base_url="http://test"
    )
    for number in range(50):
        await client.get(f"/models/none-{number}")
        await client.get("/models/demo-latest")
    assert list(site._kept) == ["/models/demo"]
    visit.catalog = small_catalog()
    await client.get("/pricing")
    assert list(site._kept) == ["/pricing"]


async def test_a_page_takes_no_other_method() -> None:
    """It is read only."""
    assert (await Visit().client.post("/pricing")).status_code == 405
    assert (await Visit().client.head("/pricing")).content == b""

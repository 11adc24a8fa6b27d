"""The pages: valid HTML, escaped, linked, and told by the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from edge.admission.catalog import EMPTY, LANE_NAMES, Catalog
from edge.pages import contents
from edge.pages.error_table import ERROR_GROUPS
from edge.pages.examples import EXAMPLES, filled_in
from edge.pages.operations import OPERATIONS
from edge.pages.render import ICON, STYLE
from tests.support.html_page import Page
from tests.unit.edge.pages.page_world import HOSTILE, SECOND, State, small_catalog, small_snapshot

ORIGIN = "https://api.example.com"
PAGES: dict[str, Callable[[Catalog, int, str], bytes]] = {
    "/": contents.front,
    "/models": contents.models,
    "/pricing": contents.pricing,
    "/docs/api-reference": contents.reference,
}
OTHERS = {"/openapi.json", "/v1/models", STYLE.path, ICON.path}


def read(path: str, catalog: Catalog | None = None) -> Page:
    """Return a page of the small catalogue."""
    if path.startswith("/models/"):
        body = contents.model(
            catalog or small_catalog(), SECOND, ORIGIN, path.removeprefix("/models/")
        )
        assert body is not None
    else:
        body = PAGES[path](catalog or small_catalog(), SECOND, ORIGIN)
    return Page.of(body.decode())


MODEL_PAGES = [f"/models/{name}" for name in ("demo", "maker/tiered", "watch")]
EVERY = [*PAGES, *MODEL_PAGES]


@pytest.mark.parametrize("path", EVERY)
def test_a_page_is_valid_and_needs_no_script(path: str) -> None:
    """One heading of the first order, a title, a language, words for all pictures."""
    page = read(path)
    assert page.faults == []
    assert (page.count("h1"), page.count("title"), page.count("main")) == (1, 1, 1)
    assert page.values("lang") == ["en"]
    assert len(page.values("alt", "img")) == page.count("img")
    assert len(page.values("scope", "th")) == page.count("th")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_an_empty_catalogue_is_valid_too(path: str) -> None:
    """A worker that starts has none yet."""
    assert read(path, EMPTY).faults == []


@cache
def places(path: str) -> frozenset[str]:
    """Return what a link can lead to on a page."""
    return frozenset(read(path).values("id"))


@pytest.mark.parametrize("path", EVERY)
def test_every_link_leads_somewhere(path: str) -> None:
    """Within this site, to a page and a place that there are; nothing is loaded from elsewhere."""
    page = read(path)
    for link in page.values("href") + page.values("src"):
        target, _, anchor = link.partition("#")
        target = target or path
        assert target in OTHERS or target in EVERY, link
        if anchor:
            assert anchor in places(target), link


def test_names_are_escaped() -> None:
    """A name in the catalogue is text, whatever it looks like."""
    body = contents.model(small_catalog(), SECOND, ORIGIN, "demo") or b""
    assert b"<script" not in body
    assert HOSTILE in "".join(Page.of(body.decode()).texts)


def test_the_models_page_tells_what_a_model_is() -> None:
    """Kind, context, capabilities, lanes, policies and prices."""
    words = " ".join(" ".join(read("/models").texts).split())
    assert "demo text 128,000 2.50 10.00 none tools image input all lanes zero retention" in words
    assert (
        "maker/tiered text 128,000 0.075000001 0.30 Image output 7.00 none default, economy"
        in words
    )


def test_the_pricing_page_has_every_price() -> None:
    """Tiers, dimensions that differ, models that are free."""
    words = " ".join(" ".join(read("/pricing").texts).split())
    assert "maker/tiered default, economy up to 200,000 0.075000001" in words
    assert "above 200,000 0.000000001" in words
    assert "Image output 7.00" in words
    assert "Models whose price is zero: watch ." in words


def test_the_reference_has_every_operation_error_and_example() -> None:
    """From the same data as the description for programs."""
    page = read("/docs/api-reference")
    text = "".join(page.texts)
    for operation in OPERATIONS:
        assert operation.name in page.values("id")
        assert f"POST {operation.path}" in text
    for group in ERROR_GROUPS:
        assert all(row.code in text for row in group.rows)
    assert all(lane in text for lane in LANE_NAMES)
    assert page.count("pre") == sum(len(one.programs) for one in EXAMPLES)
    assert f"{ORIGIN}/v1/messages" in text


def test_a_limited_endpoint_is_shown_with_the_operators_words() -> None:
    """As in the description for programs."""
    message = small_snapshot()
    note = "Only <some> models."
    message.endpoints.add(endpoint=OPERATIONS[0].endpoint, status=State.STATUS_LIMITED, note=note)
    assert note in "".join(read("/docs/api-reference", Catalog(message)).texts)


def test_a_model_that_cannot_be_used_has_no_page() -> None:
    """Nor one that nobody knows."""
    message = small_snapshot()
    message.models[0].enabled = False
    for name in ("demo", "nothing"):
        assert contents.model(Catalog(message), SECOND, ORIGIN, name) is None
    assert Page.of(contents.no_such_model().decode()).faults == []


@pytest.mark.parametrize(
    "broken",
    [
        "<p><div></div></p>",
        "<ul><p>a</p></ul>",
        "<p>a",
        "<b>a</i>",
        "<i id='a'></i><i id='a'></i>",
        "<tr>a</tr>",
        "<p style='color: red'>a</p>",
        "<script></script>",
    ],
)
def test_a_page_that_is_not_valid_is_found(broken: str) -> None:
    """Control: each rule."""
    assert Page.of(f"<!doctype html>\n{broken}").faults


def test_examples_are_programs() -> None:
    """Python's parse; no brace of a template is left."""
    for example in EXAMPLES:
        filled: dict[str, Any] = dict(filled_in(example, ORIGIN, "demo").programs)
        compile(filled["Python"], "example", "exec")
        assert not any(mark in text for text in filled.values() for mark in ("{{", "}}", "{base}"))

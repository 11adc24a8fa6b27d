"""The pages in a real browser: nothing complains, nothing overflows, everything can be read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest
import uvicorn
from starlette.applications import Starlette

from edge.pages.site import Site
from kit.clock import SystemClock
from tests.support.browser import Browser, find_browser
from tests.support.processes import until
from tests.unit.edge.pages.page_world import small_catalog

PATHS: Final = ("/", "/models", "/models/demo", "/pricing", "/docs/api-reference")
NARROW, WIDE = 360, 1280
# Text and what is behind it, by the formula of WCAG 2.2 (relative luminance, contrast ratio).
LOW_CONTRAST: Final = """
(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest(".skip")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < LEAST) found.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""
READABLE: Final = 4.5
"""WCAG 2.2, 1.4.3, level AA."""
WIDER_THAN_ITS_PLACE: Final = """
[...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".scroll, pre, .skip"))
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((one) => one.tagName + "." + one.className)
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Serve the pages of the small catalogue."""
    listener = socket.create_server(("127.0.0.1", 0))
    found = f"http://127.0.0.1:{listener.getsockname()[1]}"
    catalog = small_catalog()
    application = Starlette(routes=Site(lambda: catalog, SystemClock(), found).routes())
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    yield found
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run the browser of this machine, if it has one."""
    program = find_browser()
    if program is None:
        pytest.skip("no browser here: apt-get install chromium")
    with Browser(program) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_shown_as_it_is_meant(
    browser: Browser, origin: str, path: str, width: int, scheme: str
) -> None:
    """No complaint on the console, no scrolling sideways, contrast that anyone can read."""
    browser.visit(origin + path, width=width, dark=scheme == "dark")
    assert browser.complaints == []
    assert browser.value("document.styleSheets.length") == 1
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(WIDER_THAN_ITS_PLACE) == []
    assert browser.value(LOW_CONTRAST.replace("LEAST", str(READABLE))) == []


def test_a_fault_of_a_page_is_found(browser: Browser, origin: str) -> None:
    """Control: a script that the policy forbids, a wide element, a text that is too faint."""
    browser.visit(f"{origin}/", width=NARROW)
    browser.value(
        """(() => {
          const added = document.createElement("script");
          added.text = "1";
          document.body.append(added);
          const wide = document.createElement("p");
          wide.textContent = "faint";
          wide.className = "small";
          document.body.append(wide);
          document.styleSheets[0].insertRule(
            "p.small { width: 500px; color: rgb(190, 190, 190) }",
            document.styleSheets[0].cssRules.length);
        })()"""
    )
    assert browser.value("document.documentElement.scrollWidth") > NARROW
    assert "P.small" in browser.value(WIDER_THAN_ITS_PLACE)
    low = browser.value(LOW_CONTRAST.replace("LEAST", str(READABLE)))
    assert any(one.startswith("P.small") for one in low)
    assert any("Content Security Policy" in one for one in browser.complaints)


def test_every_part_of_a_page_can_be_reached_by_keyboard(browser: Browser, origin: str) -> None:
    """What scrolls by itself takes the focus; the first stop leads to the text."""
    browser.visit(f"{origin}/docs/api-reference", width=NARROW)
    unreachable = """
      [...document.querySelectorAll("*")]
        .filter((one) => one.scrollWidth > one.clientWidth + 1 && one.tabIndex < 0)
        .filter((one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
        .map((one) => one.tagName)
    """
    assert browser.value(unreachable) == []
    assert browser.value("document.querySelector('a').className") == "skip"

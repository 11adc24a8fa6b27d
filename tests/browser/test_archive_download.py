"""A browser downloads a month's file, is cut in the middle, goes on, and has the same bytes."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from archiver.settings import ArchiverSettings
from tests.support.archive_edge import KEY, USAGE, edge_in_thread
from tests.support.browser import Browser, find_browser
from tests.support.cutting_relay import cutting_relay
from tests.support.processes import until
from tests.support.s3_server import s3_server

ROWS = 12_000
CUT_BYTES = (60_000, 150_000)
FETCH = """
const said = { statuses: [], cuts: 0, bytes: 0 };
window.said = said;
(async () => {
  const parts = [];
  let etag = "", over = false;
  while (!over) {
    const headers = { authorization: "Bearer KEY" };
    if (said.bytes) Object.assign(headers, { range: `bytes=${said.bytes}-`, "if-range": etag });
    const answer = await fetch("URL", { headers });
    said.statuses.push(answer.status);
    etag = answer.headers.get("etag");
    const reader = answer.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        parts.push(value);
        said.bytes += value.length;
      }
      over = true;
    } catch { said.cuts += 1; }
  }
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  said.sha256 = [...new Uint8Array(digest)].map((x) => x.toString(16).padStart(2, "0")).join("");
})().catch((fault) => { said.fault = String(fault); });
"""


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Return a browser with one page."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program) as started:
        yield started


class _EmptyPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer a page without anything."""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", "15")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def page() -> Iterator[str]:
    """Serve an empty page; yields its origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def published_sha256(port: int) -> str:
    """What the archive says that the file's hash is."""
    url = f"http://127.0.0.1:{port}{USAGE}"
    answer = httpx.head(url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    return answer.headers["etag"].strip('"')


@pytest.mark.slow
def test_a_page_goes_on_where_the_edge_was_cut(browser: Browser, tmp_path: Path) -> None:
    """A script of a named origin reads the ETag and asks for the rest of that same file."""
    settings = ArchiverSettings(data_dir=tmp_path)
    with (
        page() as origin,
        edge_in_thread(tmp_path, settings, ROWS, (origin,)) as port,
        cutting_relay(port, *CUT_BYTES) as (before, _),
    ):
        browser.visit(origin)
        script = FETCH.replace("KEY", KEY).replace("URL", f"http://127.0.0.1:{before}{USAGE}")
        browser.value(script)

        def said(name: str) -> Any:
            return browser.value(f"window.said.{name}")

        until(lambda: said("sha256") or said("fault"))
        assert said("fault") is None
        assert said("sha256") == published_sha256(port)
        # Whoever was cut before the first byte begins again; who has some asks for the rest.
        assert (said("cuts"), len(said("statuses")), said("statuses")[-1]) == (2, 3, 206)


@pytest.mark.slow
def test_the_browser_itself_goes_on_at_the_store(browser: Browser, tmp_path: Path) -> None:
    """The signed URL is a file like any other: its download manager asks for the rest."""
    downloads = tmp_path / "downloads"
    with s3_server() as found:
        moto = urlsplit(found["archive_s3_endpoint"]).port or 0
        with cutting_relay(moto) as (store, relay):
            named: Any = {**found, "archive_s3_endpoint": f"http://127.0.0.1:{store}"}
            settings = ArchiverSettings(data_dir=tmp_path, **named)
            with edge_in_thread(tmp_path, settings, ROWS, ()) as port:
                answer = httpx.get(
                    f"http://127.0.0.1:{port}{USAGE}",
                    headers={"authorization": f"Bearer {KEY}"},
                    trust_env=False,
                )
                sha256 = published_sha256(port)
            assert answer.status_code == 302
            relay.requests.clear()
            relay.cuts.append(CUT_BYTES[0])
            allowed = {"behavior": "allow", "downloadPath": str(downloads)}
            browser.ask("Browser.setDownloadBehavior", **allowed)
            browser.value(f"location.href = {json.dumps(answer.headers['location'])}; null")
            until(lambda: _whole(downloads) is not None)
            path = _whole(downloads)
            assert path is not None
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
            assert relay.cuts == []
            asked = b"".join(relay.requests).lower()
            assert b"range: bytes=" in asked
            assert b"if-range:" in asked


def _whole(folder: Path) -> Path | None:
    """Return the file of a download that has ended."""
    found = list(folder.glob("*")) if folder.is_dir() else []
    return found[0] if len(found) == 1 and found[0].suffix == ".parquet" else None

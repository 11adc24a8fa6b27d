"""Pages in browsers: what they may read is their workspace's choice, on every path of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.processes import until
from tests.support.stack import Stack

ORIGIN = "https://app.example.com"
PAGE = {"origin": ORIGIN, "sec-fetch-mode": "cors", "sec-fetch-site": "cross-site"}
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi."}]}


@pytest.fixture(scope="module")
def workspace(stack: Stack) -> str:
    """Make a workspace that names one origin, with credit."""
    made = stack.run("workspace", "create", "Pages", "--cors-origin", ORIGIN)
    stack.grant(1_000_000_000, made["workspace_id"])
    return str(made["workspace_id"])


@pytest.fixture(scope="module")
def page(stack: Stack, workspace: str) -> Iterator[httpx.Client]:
    """Give what a browser sends for a page of the named origin."""
    _, secret = stack.make_key(workspace)
    with stack.client(secret) as client:
        client.headers.update(PAGE)
        yield client


def may_read(answer: httpx.Response) -> bool:
    """Say whether a browser shows the answer to the page."""
    return answer.headers.get("access-control-allow-origin") in {ORIGIN, "*"}


def test_a_named_page_reads_answers_streams_and_errors(page: httpx.Client) -> None:
    """With our headers among them."""
    whole = page.post("/chat/completions", json=CHAT)
    streamed = page.post("/chat/completions", json={**CHAT, "stream": True})
    wrong = page.post("/chat/completions", json={"model": "demo"})
    image = page.post("/images/generations", json={"model": "demo-image", "prompt": "p"})
    assert [one.status_code for one in (whole, streamed, wrong, image)] == [200, 200, 400, 200]
    for answer in (whole, streamed, wrong, image):
        assert may_read(answer)
        assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert answer.headers["vary"] == "origin"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_other_pages_are_refused_before_anything_is_held(
    page: httpx.Client, stack: Stack, workspace: str
) -> None:
    """They can read why; nothing was sent, nothing is recorded."""
    before = stack.balance(workspace)
    other = {"origin": "https://evil.example"}
    answer = page.post("/chat/completions", json=CHAT, headers=other)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "https://evil.example"
    assert stack.balance(workspace) == before


@pytest.mark.parametrize(
    ("path", "status"), [("/credits", 200), ("/receipts/req_" + "0" * 32, 404)]
)
def test_what_a_workspace_has_is_read_by_its_own_pages_only(
    page: httpx.Client, path: str, status: int
) -> None:
    """The same decision as for requests that cost something."""
    named = page.get(path)
    assert (named.status_code, may_read(named)) == (status, True)
    assert "x-request-id" in named.headers["access-control-expose-headers"]
    other = page.get(path, headers={"origin": "https://evil.example"})
    assert (other.status_code, other.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert other.headers["access-control-allow-origin"] == "https://evil.example"


def test_pages_are_off_by_default(stack: Stack) -> None:
    """And programs that send an origin are not pages."""
    with stack.client() as client:
        refused = client.post("/chat/completions", json=CHAT, headers=PAGE)
        program = client.post("/chat/completions", json=CHAT, headers={"origin": ORIGIN})
        plain = client.post("/chat/completions", json=CHAT)
    assert refused.json()["error"]["code"] == "origin_not_allowed"
    for answer in (program, plain):
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_can_read_that_its_key_is_wrong(stack: Stack) -> None:
    """Else all that its author sees is a network error."""
    with stack.client("sk-wrong") as client:
        answer = client.post("/chat/completions", json=CHAT, headers=PAGE)
    assert (answer.status_code, may_read(answer)) == (401, True)


def test_anyone_may_read_the_models(stack: Stack) -> None:
    """They are public (P6)."""
    answer = httpx.get(f"{stack.base_url}/models", headers=PAGE, trust_env=False)
    assert (answer.status_code, may_read(answer)) == (200, True)


def test_a_preflight_needs_no_key(stack: Stack) -> None:
    """A browser sends none with it."""
    asked = {**PAGE, "access-control-request-method": "POST"}
    answer = httpx.options(f"{stack.base_url}/chat/completions", headers=asked, trust_env=False)
    assert (answer.status_code, may_read(answer), answer.content) == (204, True, b"")


def test_a_page_that_is_named_no_more_is_refused_at_once(
    page: httpx.Client, stack: Stack, workspace: str
) -> None:
    """Like every change of a workspace."""
    stack.run("workspace", "update", workspace, "--no-cors")

    def refused() -> bool:
        return page.post("/chat/completions", json=CHAT).status_code == 403

    until(refused)
    stack.run("workspace", "update", workspace, "--cors-origin", ORIGIN)
    until(lambda: not refused())

"""The project's own fixtures cover what providers say, and are well formed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import recordings
from tests.support.every import every
from tests.support.recordings import Recording, load_fixtures, load_recordings
from tests.support.replay.frames import data_of, split_frames
from tests.support.replay.library import canonical, endpoint_of

FIXTURES = load_fixtures()
ASKED = (
    *("messages", "contents", "generateContentRequest", "input"),
    *("prompt", "texts", "requests"),
)
"""Where the APIs have what is asked."""
DISJOINT_REASONING = {"xai-chat-reasoning-excluded", "xai-chat-reasoning-excluded-stream"}


def values_of(fixture: Recording) -> Iterator[Any]:
    """Give every JSON value that the provider said."""
    if not fixture.is_stream:
        yield fixture.response
        return
    for frame in split_frames(fixture.body()):
        data = data_of(frame)
        if data is not None and data != b"[DONE]":
            yield json.loads(data)


def usages_of(fixture: Recording) -> list[dict[str, Any]]:
    """Give the usage objects of chats, in order; other APIs have tests of their own."""
    found = [value["usage"] for value in values_of(fixture) if value.get("usage")]
    return [usage for usage in found if "prompt_tokens" in usage]


@every(fixture=FIXTURES)
def test_a_fixture_is_well_formed_and_ours(fixture: Recording) -> None:
    """Every frame parses, the status fits, and the source says that we wrote it."""
    assert fixture.source.startswith("own, after ")
    assert any(fixture.request.get(name) for name in ASKED)
    assert list(values_of(fixture))
    assert (fixture.status >= 400) == ("error" in fixture.stem and not fixture.is_stream)


@every(fixture=FIXTURES)
def test_token_counts_add_up(fixture: Recording) -> None:
    """The total is prompt and completion, and reasoning where the completion leaves it out."""
    for usage in usages_of(fixture):
        details = usage.get("completion_tokens_details") or {}
        extra = details.get("reasoning_tokens", 0) if fixture.stem in DISJOINT_REASONING else 0
        both = usage["prompt_tokens"] + usage.get("completion_tokens", 0)
        assert usage["total_tokens"] == both + extra
        prompt = usage.get("prompt_tokens_details") or {}
        cached = prompt.get("cached_tokens", 0) + prompt.get("cache_write_tokens", 0)
        assert cached <= usage["prompt_tokens"]


def test_requests_of_fixtures_differ() -> None:
    """Each fixture can be asked for by its request alone."""
    keys = {(one.method, endpoint_of(one.path), canonical(one.request)) for one in FIXTURES}
    assert len(keys) == len(FIXTURES)


def test_the_shapes_that_recordings_lack_are_there() -> None:
    """Counts that no recording has, but that a provider may send."""
    usages = {one.stem: usages_of(one) for one in FIXTURES}
    excluded = usages["xai-chat-reasoning-excluded"][0]
    assert (excluded["prompt_tokens"], excluded["completion_tokens"]) == (12, 1)
    assert excluded["completion_tokens_details"]["reasoning_tokens"] == 290
    assert excluded["total_tokens"] == 303
    audio = usages["openai-chat-audio"][0]
    assert audio["prompt_tokens_details"]["audio_tokens"] > 0
    assert audio["completion_tokens_details"]["audio_tokens"] > 0
    written = usages["openai-chat-cache-write"][0]["prompt_tokens_details"]
    assert written["cache_write_tokens"] > 0
    assert usages["openai-chat-long-context"][0]["prompt_tokens"] > 200_000
    assert usages["openai-chat-context-at-tier"][0]["prompt_tokens"] == 200_000
    assert usages["openai-chat-stream-without-usage"] == []


def test_stream_forms_are_there() -> None:
    """Line ends, comments and data over several lines, as the standard allows them."""
    bodies = {one.stem: one.body() for one in FIXTURES}
    assert b"\r\n\r\n" in bodies["sse-crlf-stream"]
    assert b"\n\ndata: {\ndata: " in bodies["sse-multi-line-data-stream"]
    assert b": OPENROUTER PROCESSING\n\n" in bodies["openrouter-chat-reasoning-stream"]
    assert bodies["sse-duplicate-done-stream"].count(b"[DONE]") == 2
    assert b"[DONE]" not in bodies["sse-cut-stream"]


def test_absent_recordings_are_an_empty_list_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    """A clone without the recordings says so in one line and tests on."""
    monkeypatch.setattr(recordings, "RECORDINGS_FOLDER", tmp_path / "none")
    assert load_recordings() == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_json_body_is_an_equal_value() -> None:
    """What is served is what was recorded, whatever the blanks."""
    fixture = next(one for one in FIXTURES if one.stem == "openai-chat-text")
    assert json.loads(fixture.body()) == fixture.response

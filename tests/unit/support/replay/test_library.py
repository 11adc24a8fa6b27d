"""Which recording answers which request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.recordings import Recording
from tests.support.replay.library import Library, canonical, endpoint_of

ASKED = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def recording(stem: str, path: str = "/v1/chat/completions", **request: Any) -> Recording:
    """Make a recording whose answer does not matter."""
    asked = {**ASKED, **request}
    return Recording(stem, "p", path, asked, 200, "application/json", {}, is_stream=False)


LIBRARY = Library(
    [
        recording("plain"),
        recording("streamed", stream=True),
        recording("other-model", model="n"),
        recording("groq", "/openai/v1/chat/completions", n=1),
    ]
)


def find(path: str = "/v1/chat/completions", replay_id: str | None = None, **request: Any) -> Any:
    """Find the stem that answers, or None."""
    found = LIBRARY.find("POST", path, {**ASKED, **request}, replay_id)
    return found and found.stem


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"max_tokens": 4096},
        {"stream_options": {"include_usage": True}},
        {"service_tier": "flex"},
        {"stream": False},
        {"temperature": None},
        {"user": "ws_1"},
    ],
)
def test_what_a_gateway_changes_does_not_matter(changed: dict[str, Any]) -> None:
    """The recording is found through the edits that a gateway makes."""
    assert find(**changed) == "plain"


def test_what_decides_an_answer_matters() -> None:
    """Streaming and content tell recordings apart."""
    assert find(stream=True) == "streamed"
    assert find(temperature=0.5) is None
    assert find(messages=[]) is None


def test_the_model_decides_between_equal_requests() -> None:
    """An unknown model still finds the first of them."""
    assert find(model="n") == "other-model"
    assert find(model="upstream-name") == "plain"


def test_the_prefix_of_the_path_does_not_matter() -> None:
    """A gateway has one base URL for all recordings."""
    assert find("/v1/chat/completions", n=1) == "groq"
    assert endpoint_of("/api/v1/chat/completions") == "/chat/completions"
    assert endpoint_of("/v1beta/models/x:generateContent") == "/models/x:generateContent"


def test_a_recording_can_be_named() -> None:
    """By header, by model, and by a model in the path."""
    assert find(replay_id="groq") == "groq"
    assert find(model="replay/streamed") == "streamed"
    assert find("/v1beta/models/replay%2Fstreamed:generateContent") == "streamed"


def test_a_name_that_does_not_exist_finds_nothing() -> None:
    """A typing error in a test is not answered by something else."""
    assert find(model="replay/none") is None
    assert find(replay_id="none") is None


def test_order_of_keys_does_not_matter() -> None:
    """Requests are compared as values."""
    assert canonical({"a": {"x": 1, "y": 2}}) == canonical({"a": {"y": 2, "x": 1}})

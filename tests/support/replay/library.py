"""Which recording answers a request: the one it names, else the one whose request is equal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from tests.support.recordings import Recording

MODEL_MARK = "replay/"
IGNORED_FIELDS = frozenset(
    {
        "model",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "service_tier",
        "store",
        "user",
        "safety_identifier",
        "metadata",
    }
)
"""What a gateway may change or add on the way; these never decide which recording is meant."""

_PREFIX = re.compile(r"^(/(api|openai|v\d+(alpha|beta)?))+(?=/)")

Key = tuple[str, str, str]


def endpoint_of(path: str) -> str:
    """Give the path without the prefix that differs between providers: `/chat/completions`."""
    return _PREFIX.sub("", path)


def canonical(request: dict[str, Any]) -> str:
    """Give equal text for requests that differ only in what a gateway may change."""
    kept = {
        name: value
        for name, value in request.items()
        if name not in IGNORED_FIELDS and value is not None
    }
    if kept.get("stream") is False:
        del kept["stream"]
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


class Library:
    """The recordings, found by name or by request."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        """Index the recordings; of equal names the first wins."""
        self.by_stem: dict[str, Recording] = {}
        self._by_request: dict[Key, list[Recording]] = {}
        for one in recordings:
            if self.by_stem.setdefault(one.stem, one) is one:
                key = (one.method, endpoint_of(one.path), canonical(one.request))
                self._by_request.setdefault(key, []).append(one)

    def find(
        self, method: str, path: str, request: dict[str, Any], replay_id: str | None
    ) -> Recording | None:
        """Find the answer; a named recording that does not exist is not searched otherwise."""
        model = request.get("model")
        stem = replay_id or _named(model) or _named(unquote(path).rpartition(":")[0])
        if stem is not None:
            return self.by_stem.get(stem)
        key = (method, endpoint_of(path), canonical(request))
        candidates = self._by_request.get(key, [])
        same_model = [one for one in candidates if one.request.get("model") == model]
        return next(iter(same_model or candidates), None)


def _named(text: Any) -> str | None:
    if not isinstance(text, str) or MODEL_MARK not in text:
        return None
    return text.rpartition(MODEL_MARK)[2]

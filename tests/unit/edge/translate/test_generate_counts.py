"""Counting tokens by Google's API: what is refused, and when."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.translate.errors import NestedTooDeeply, UnsupportedParameter
from edge.translate.generate.count_tokens import CountRequest
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_shape import Limits

GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT
COUNT = Endpoint.ENDPOINT_COUNT_TOKENS
HELLO = [{"role": "user", "parts": [{"text": "Hello."}]}]


def test_counts_refuse_what_lies_under_our_account() -> None:
    """By name, as the endpoint that answers does."""
    cached = {"contents": HELLO, "cachedContent": "cachedContents/1"}
    for body in (cached, {"generateContentRequest": cached}):
        with pytest.raises(UnsupportedParameter) as refused:
            CountRequest(body, "m")
        assert refused.value.param == "cachedContent"


def test_counts_are_refused_before_they_are_accepted_if_they_nest_too_deeply() -> None:
    """They are sent on one level deeper than they came."""
    body: dict[str, Any] = {"contents": HELLO}
    levels = [body]
    while _can_be_sent(levels[-1]):
        levels.append({**body, "new": levels[-1]})
    deepest, shallower = levels[-2], levels[-3]
    asked = CountRequest(deepest, "m")
    asked.shape(Limits())
    with pytest.raises(NestedTooDeeply):
        asked.translation(terms(GENERATE, COUNT))
    assert CountRequest(shallower, "m").translation(terms(GENERATE, COUNT)).body(None)


def _can_be_sent(body: dict[str, Any]) -> bool:
    try:
        return bool(orjson.dumps(body))
    except orjson.JSONEncodeError:
        return False

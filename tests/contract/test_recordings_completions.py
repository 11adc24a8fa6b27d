"""Completions and moderations as providers answer them: their values, but for the stated edits."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import orjson

from edge.translate.answer import WholeAnswer
from edge.translate.completions.surface import CompletionsSurface
from edge.translate.moderations.surface import ModerationsSurface
from edge.translate.surface import Surface, Terms
from kit.charge import Quantities, charge_nanos, quantities
from tests.contract.charge_table import GPT_41_MINI
from tests.contract.test_recordings_chat import exact
from tests.support.every import every
from tests.support.recordings import Recording, load_fixtures, load_recordings

SURFACES: dict[str, Surface] = {
    "/v1/completions": CompletionsSurface(),
    "/v1/moderations": ModerationsSurface(),
}


@cache
def recordings() -> dict[str, Recording]:
    """Return the answers that these surfaces pass on."""
    return {
        one.stem: one
        for one in (*load_recordings(), *load_fixtures())
        if one.path in SURFACES and one.status == 200
    }


def price_of(used: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(used, GPT_41_MINI)


def answered(one: Recording) -> tuple[dict[str, Any], WholeAnswer]:
    """Return what the provider is asked, and what the client gets."""
    surface = SURFACES[one.path]
    terms = Terms(
        upstream=one.provider,
        upstream_model=one.request["model"],
        serves=frozenset({surface.endpoint}),
        ends_with_terminal_frame=True,
        public_model="public-model",
        max_output_tokens=64_000,
        request_id="req_" + "0" * 32,
        created=1,
    )
    way = surface.read(orjson.dumps(one.request), {}, one.path, b"").translation(terms)
    return json.loads(way.body(None)), way.whole(one.body(), b"application/json", price_of)


@every(stem=recordings)
def test_the_client_sees_the_providers_values_but_the_allowed_edits(stem: str) -> None:
    """Numbers keep their spelling; the provider is asked what the client asked."""
    one = recordings()[stem]
    asked, answer = answered(one)
    assert asked == one.request
    expected = exact(one.body())
    expected["model"] = "public-model"
    usage = expected.get("usage")
    if usage is None:
        assert answer.quantities is None
    else:
        prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        assert answer.quantities == quantities(input=prompt, output=completion, requests=1)
        nanos = f"{prompt * 400 + completion * 1600:010d}"
        usage["cost"] = f"{nanos[:-9]}.{nanos[-9:].rstrip('0').ljust(2, '0')}"
    assert exact(answer.body) == expected
    assert answer.has_output

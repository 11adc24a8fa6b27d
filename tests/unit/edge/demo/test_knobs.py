"""The model name is the whole interface to the demo's faults."""

from __future__ import annotations

import pytest

from edge.demo.knobs import EXAMPLES, Knobs, UnknownModelError, parse_model


def test_plain_demo_has_no_effects() -> None:
    """The name that a newcomer uses answers at once and well."""
    assert parse_model("demo") == Knobs()
    assert parse_model("demo").delivers_at_once


def test_each_knob_is_read() -> None:
    """Every row of the table in the module has its effect."""
    assert parse_model("demo-slow-200").slow_ms == 200
    assert parse_model("demo-pace-5").pace_ms == 5
    assert parse_model("demo-tokens-7").tokens == 7
    assert parse_model("demo-cached-9").cached_tokens == 9
    assert parse_model("demo-error-429").error_status == 429
    assert parse_model("demo-cut-0").cut_after_events == 0
    assert parse_model("demo-stall").stall
    assert parse_model("demo-empty").empty


def test_knobs_combine_with_plus() -> None:
    """Latency and length can be asked for together."""
    assert parse_model("demo-slow-200+tokens-50") == Knobs(slow_ms=200, tokens=50)


@pytest.mark.parametrize("name", EXAMPLES)
def test_listed_examples_are_valid(name: str) -> None:
    """What the model list shows can be called."""
    parse_model(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4.1",
        "demos",
        "demo-",
        "demo-fast",
        "demo-slow",
        "demo-slow-",
        "demo-slow--1",
        "demo-slow-x",
        "demo-slow-²",
        "demo-slow-700000",
        "demo-error-200",
        "demo-error-600",
        "demo-stall-1",
        "demo-slow-1+",
        "demo-tokens-1" + "+tokens-1" * 20,
    ],
)
def test_other_names_are_unknown(name: str) -> None:
    """A typing error must not silently answer like plain demo."""
    with pytest.raises(UnknownModelError):
        parse_model(name)

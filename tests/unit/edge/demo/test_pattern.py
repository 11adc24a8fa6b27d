"""Samples of regular expressions, checked against the expressions themselves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo.pattern import SAMPLE_CHARACTERS_MAX, UnsupportedPatternError, sample


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^$",
        "^[A-Z]{3}-\\d{4}$",
        "^(red|green)$",
        "^[^abc]+$",
        "^.{2,5}$",
        "^\\S+@\\S+\\.\\w{2,}$",
        "^a?b*c+?$",
        "(?:ab){3}",
        "^[^\\d\\s]$",
        "^[\u4e00-\u4e09]{2}[äö]$",
        "[[a]",
    ],
)
def test_a_sample_is_found_by_its_pattern(pattern: str) -> None:
    """What clients write into schemas has a sample."""
    assert re.search(pattern, sample(pattern))


@pytest.mark.parametrize(
    "pattern",
    ["[", "(?=a)b", "(a)\\1", "a{100000}", "((a{100}){100}){100}", "x" * 600],
)
def test_what_has_no_sample_is_refused(pattern: str) -> None:
    """A pattern that is broken, too large or too clever is an error, not a wrong value."""
    with pytest.raises(UnsupportedPatternError):
        sample(pattern)


@given(st.text(alphabet="ab[]()|*+?^$\\d.{}12,-", max_size=24))
def test_any_text_gives_a_match_or_a_refusal(pattern: str) -> None:
    """No client can crash the demo by a pattern."""
    try:
        text = sample(pattern)
    except UnsupportedPatternError:
        return
    assert len(text) <= SAMPLE_CHARACTERS_MAX
    assert re.search(pattern, text)

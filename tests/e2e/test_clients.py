"""An unmodified OpenAI client: the short form of `make clients`, which checks four of them."""

from __future__ import annotations

import sys

import pytest

from tests.support.stack import Stack
from tools.clients.run import HERE, Findings, check

CASES = (
    *("text", "stream", "tools", "image", "schema", "models", "cut", "cancel"),
    *("error_of_the_key", "error_of_the_model", "error_of_the_provider"),
)


@pytest.fixture(scope="module")
def findings(stack: Stack) -> Findings:
    """Run all cases in a process of their own."""
    return check("openai-python", [sys.executable, str(HERE / "openai_python.py")], stack)


@pytest.mark.parametrize("case", CASES)
def test_openai_python_works_unmodified(findings: Findings, case: str) -> None:
    """Text, streams, tools, images, schemas, errors, cuts and leaving."""
    assert findings.cases[case] == "ok"


def test_a_case_that_fails_is_told(stack: Stack) -> None:
    """The check itself can fail."""
    broken = "print('text\\tAssertionError'); print('version\\t0')"
    assert check("broken", [sys.executable, "-c", broken], stack).failed
    assert check("silent", [sys.executable, "-c", "raise SystemExit(3)"], stack).failed

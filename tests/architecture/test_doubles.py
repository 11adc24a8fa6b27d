"""Tests build a small real world: what they replace lies outside our network, as a process."""

from __future__ import annotations

import ast

from tests.architecture.rules.tree import Finding, report, sources


def mocks(text: str) -> list[Finding]:
    """Imports of the mocking library, in any spelling."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        if any(name.startswith("unittest.mock") for name in names):
            found.append(Finding(getattr(node, "lineno", 1), "no mocks of our own modules"))
    return found


def test_no_test_mocks() -> None:
    """Every test and what supports it."""
    found = [
        line
        for path, text in sources(".py", folders=("tests",))
        for line in report(path, mocks(text))
    ]
    assert not found, "\n".join(found)


def test_a_mock_is_found() -> None:
    """Control: each spelling of the import."""
    assert mocks("import unittest.mock as m")
    assert mocks("from unittest import mock")
    assert mocks("from unittest.mock import patch")
    assert mocks("import unittest\nfrom tests.support import postgres") == []

"""Limits on size: what cannot be read at once is not reviewed."""

from __future__ import annotations

import ast
import re

from tests.architecture.rules.tree import Finding

FUNCTION_LINES = 70
FILE_LINES = 500
LINE_CHARACTERS = 100
# A pragma with its reason is no part of what the line says.
PRAGMA = re.compile(r"\s+# (?:noqa|type: ignore)\b.*$")


def long_functions(text: str) -> list[Finding]:
    """Functions above the limit, without their decorators."""
    return [
        Finding(node.lineno, f"{node.name} has {lines_of(node)} lines, {FUNCTION_LINES} allowed")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > FUNCTION_LINES
    ]


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line of the body."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_file(text: str) -> list[Finding]:
    """A file above the limit."""
    lines = len(text.splitlines())
    return [Finding(lines, f"{lines} lines, {FILE_LINES} allowed")] if lines > FILE_LINES else []


def long_lines(text: str) -> list[Finding]:
    """Lines above the limit."""
    return [
        Finding(number, f"{len(line)} characters, {LINE_CHARACTERS} allowed")
        for number, line in enumerate(text.splitlines(), start=1)
        if len(PRAGMA.sub("", line)) > LINE_CHARACTERS
    ]

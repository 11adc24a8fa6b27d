"""The errors that a client can get, read from the code, and from the page that documents them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.recordings import PROJECT

PAGE: Final = PROJECT / "docs" / "errors.md"
_ROW: Final = re.compile(r"^\| `?([a-z_]+|none)`? \| ([0-9x, ]+|in-band) \|", re.MULTILINE)
_STATUSES: Final = range(400, 600)
_OF_CALL: Final = {"invalid": "400", "unavailable": "503"}
Documented = tuple[str, str]
"""A code and a status, as text."""


def in_code(folder: Path = PROJECT / "edge") -> set[Documented]:
    """Return every code and status that the edge's source can answer with."""
    found: set[Documented] = set()
    for path in sorted(folder.rglob("*.py")):
        if "demo" not in path.parts:
            found |= set(of_source(path.read_text()))
    return found


def of_source(text: str) -> Iterator[Documented]:
    """Yield what one file can answer with."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Tuple):
            yield from _of_row([*map(_constant, node.elts)])
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.target.id == "code" and isinstance(_constant(node.value), str):
                yield str(_constant(node.value)), "400"
        elif isinstance(node, ast.ClassDef):
            yield from _of_subclass(node)


def _of_call(call: ast.Call) -> Iterator[Documented]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    values = [*map(_constant, call.args)]
    if name in _OF_CALL and values and isinstance(values[0], str):
        yield values[0], _OF_CALL[name]
    elif name in {"ApiError", "Refusal"}:
        yield from _of_row(values)


def _of_row(values: list[object]) -> Iterator[Documented]:
    """Yield a row such as `(402, "insufficient_credits", ...)`; a code of None is `none`."""
    if len(values) > 2 and isinstance(values[0], int) and values[0] in _STATUSES:
        code = values[1] if len(values) > 1 else ...
        if code is None or isinstance(code, str):
            yield code or "none", str(values[0])


def _of_subclass(node: ast.ClassDef) -> Iterator[Documented]:
    if any(isinstance(base, ast.Name) and base.id == "InvalidRequest" for base in node.bases):
        for line in node.body:
            if isinstance(line, ast.Assign) and isinstance(_constant(line.value), str):
                yield str(_constant(line.value)), "400"


def _constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else ...


def on_page(text: str) -> set[Documented]:
    """Return every code and status in the tables of the page."""
    return {
        (code, status)
        for code, statuses in _ROW.findall(text)
        for status in statuses.replace(" ", "").split(",")
    }

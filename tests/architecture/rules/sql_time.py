"""Time comes from the process clock only: SQL that asks the database for it escapes the test clock.

Comments and docstrings may name these functions; statements may not.
"""

from __future__ import annotations

import ast
import re

from tests.architecture.rules.tree import Finding

TIME_FUNCTIONS = re.compile(
    r"""(?ix)
    \b (?: now | clock_timestamp | statement_timestamp | transaction_timestamp | timeofday ) \s*\(
    | \b (?: current_timestamp | current_date | current_time | localtimestamp | localtime ) \b
    | '(?: now | today | yesterday | tomorrow )' \s* ::
    """
)
COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def in_sql(text: str) -> list[Finding]:
    """Time functions in a statement file."""
    bare = COMMENTS.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    return [
        Finding(bare.count("\n", 0, match.start()) + 1, f"{match.group()!r}: pass the time in")
        for match in TIME_FUNCTIONS.finditer(bare)
    ]


def in_python(text: str) -> list[Finding]:
    """Time functions in string literals, and SQLAlchemy's own spelling of them."""
    tree = ast.parse(text)
    spoken = docstrings(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in spoken:
            found += [Finding(node.lineno, finding.rule) for finding in in_sql(node.value)]
        if isinstance(node, ast.Attribute) and is_sqlalchemy_time(node):
            found.append(Finding(node.lineno, f"func.{node.attr}: pass the time in"))
    return found


def is_sqlalchemy_time(node: ast.Attribute) -> bool:
    """`func.now` and its relatives."""
    return (
        isinstance(node.value, ast.Name)
        and node.value.id == "func"
        and TIME_FUNCTIONS.search(f"{node.attr}(") is not None
    )


def docstrings(tree: ast.AST) -> set[ast.expr]:
    """String expressions that stand alone."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}

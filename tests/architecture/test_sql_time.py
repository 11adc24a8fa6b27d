"""No statement of ours asks the database what time it is."""

from __future__ import annotations

import pytest

from tests.architecture.rules.sql_time import in_python, in_sql
from tests.architecture.rules.tree import report, sources


def test_no_statement_file_asks_for_the_time() -> None:
    """Migrations and statements kept as files."""
    found = [line for path, text in sources(".sql") for line in report(path, in_sql(text))]
    assert not found, "\n".join(found)


def test_no_statement_in_code_asks_for_the_time() -> None:
    """Statements kept as string literals, and SQLAlchemy expressions."""
    found = [line for path, text in sources(".py") for line in report(path, in_python(text))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (at timestamptz DEFAULT now())",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT\nclock_timestamp ()",
        "SELECT 'now'::timestamptz",
        "UPDATE t SET at = LOCALTIMESTAMP(6)",
    ],
)
def test_a_statement_that_asks_for_the_time_is_found(statement: str) -> None:
    """Control: in a file and in code."""
    assert in_sql(statement)
    assert in_python(f"STATEMENT = {statement!r}")


def test_sqlalchemy_spelling_is_found() -> None:
    """Control: func.now() makes the same statement."""
    assert in_python("column = Column(server_default=func.now())")


def test_comments_docstrings_and_our_clock_pass() -> None:
    """Control: talking about the rule does not break it."""
    assert in_sql("SELECT 1 -- never now()\n/* nor CURRENT_TIMESTAMP */") == []
    assert in_python('"""Never now()."""\nat = clock.now()') == []

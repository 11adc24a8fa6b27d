"""No function, file or line grows beyond what a reader takes in at once."""

from __future__ import annotations

from tests.architecture.rules.tidy import (
    FILE_LINES,
    FUNCTION_LINES,
    LINE_CHARACTERS,
    long_file,
    long_functions,
    long_lines,
)
from tests.architecture.rules.tree import SOURCE_FOLDERS, report, sources


def test_every_function_stays_within_the_limit() -> None:
    """A test may be a long story; code may not."""
    found = [line for path, text in sources(".py") for line in report(path, long_functions(text))]
    assert not found, "\n".join(found)


def test_every_file_stays_within_the_limit() -> None:
    """Code, tests, SQL and protos alike."""
    found = [
        line
        for path, text in sources(
            ".py", ".sql", ".proto", folders=(*SOURCE_FOLDERS, "tests", "protos")
        )
        for line in report(path, long_file(text))
    ]
    assert not found, "\n".join(found)


def test_every_line_stays_within_the_limit() -> None:
    """Two files fit side by side."""
    found = [
        line
        for path, text in sources(
            ".py", ".sql", ".proto", folders=(*SOURCE_FOLDERS, "tests", "protos")
        )
        for line in report(path, long_lines(text))
    ]
    assert not found, "\n".join(found)


def test_a_function_one_line_too_long_is_found() -> None:
    """Control: at the limit passes, above it fails, nested or not."""
    body = "".join(f"        a{number} = 0\n" for number in range(FUNCTION_LINES - 1))
    fits = f"class C:\n    async def f(self):\n{body}"
    assert long_functions(fits) == []
    assert [finding.line for finding in long_functions(f"{fits}        z = 0\n")] == [2]


def test_a_file_one_line_too_long_is_found() -> None:
    """Control for files."""
    assert long_file("a\n" * FILE_LINES) == []
    assert long_file("a\n" * (FILE_LINES + 1))


def test_a_line_one_character_too_long_is_found() -> None:
    """Control for lines."""
    assert long_lines("a" * LINE_CHARACTERS) == []
    assert [finding.line for finding in long_lines("\n" + "a" * (LINE_CHARACTERS + 1))] == [2]


def test_a_pragma_does_not_lengthen_its_line() -> None:
    """Control: the reason of an exception has room, the code has not."""
    pragma = "  # noqa: S608 - names from a constant"
    assert long_lines("a" * LINE_CHARACTERS + pragma) == []
    assert long_lines("a" * (LINE_CHARACTERS + 1) + pragma)

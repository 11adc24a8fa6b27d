"""A clone works anywhere: nothing names a registry, a machine or an unexpected folder."""

from __future__ import annotations

import pytest

from tests.architecture.rules.places import places
from tests.architecture.rules.tree import ROOT, report, tracked_files

TOP_LEVEL = frozenset(
    {
        *("protos", "edge", "core", "archiver", "generated", "tests"),
        *("kit", "tools", "deploy", "docs", ".ci"),
        *("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml"),
        *("requirements-bootstrap.lock", "requirements.lock", "requirements-dev.lock"),
        "requirements-s3.lock",
        *("buf.yaml", "buf.gen.yaml", ".editorconfig", ".gitignore"),
    }
)


def unexpected(paths: list[str]) -> set[str]:
    """Top-level names that nobody decided on."""
    return {path.split("/")[0] for path in paths} - TOP_LEVEL


def test_no_file_names_a_registry_or_a_machine() -> None:
    """Every text file of the repository."""
    found = []
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue  # not text: an image or a recording
        found += report(path, places(text))
    assert not found, "\n".join(found)


def test_the_top_level_holds_only_what_was_decided() -> None:
    """A new folder at the top is a decision, made here."""
    assert unexpected(tracked_files()) == set()


# The cut keeps this file from breaking its own rule.
@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://py|pi.org/simple",
        '"resolved": "https://registry.npm|js.org/x"',
        "GOPROXY=https://proxy.go|lang.org",
        "cd /wo|rk/main",
        "path = '/ho|me/somebody/project'",
    ],
)
def test_a_line_that_names_a_place_is_found(line: str) -> None:
    """Control: registries and paths."""
    assert places(f"\n{line.replace('|', '')}\n")[0].line == 2


def test_relative_paths_and_urls_of_our_own_pass() -> None:
    """Control: what only looks alike."""
    assert places("tests/wo" + "rk/file\n/v1/models\nhttps://1api.club/ho" + "me/page/\n") == []


def test_an_undecided_top_level_name_is_found() -> None:
    """Control: a folder and a file."""
    assert unexpected(["kit/ids.py", "utils/x.py", "setup.py"]) == {"utils", "setup.py"}

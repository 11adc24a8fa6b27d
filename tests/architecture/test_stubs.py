"""What is generated and committed is what protos/ says, and callers are not broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import protos


@pytest.mark.slow
@pytest.mark.timeout(400)  # the first run compiles the Go generators
def test_the_committed_stubs_are_fresh() -> None:
    """Python always; TypeScript and Go where npm and go are installed, else one line says so."""
    assert protos.stale() == []


def test_a_stub_that_is_changed_missing_or_left_over_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: the comparison that decides freshness."""
    monkeypatch.setattr(protos, "ROOT", tmp_path)
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for folder, files in (
        (fresh, {"same": "1", "changed": "1", "v1/missing": "1"}),
        (committed, {"same": "1", "changed": "2", "left_over": "1", "__pycache__/x": "1"}),
    ):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    assert protos.different(fresh, committed) == [
        "committed/changed",
        "committed/left_over",
        "committed/v1/missing",
    ]

"""The doctor judges workers by what they got, and finds them where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.doctor import address, judged_confinement
from kit.doctor import Surroundings, Verdict
from kit.settings import ProcessSettings

_READY = {"base_url": "http://127.0.0.1:4711/v1"}


@pytest.mark.parametrize(
    ("available", "told", "verdict", "words"),
    [
        (3, [3.0, 3.0], Verdict.OK, "confined by version 3"),
        (3, [3.0, 0.0, 3.0], Verdict.WARNING, "a worker is not confined"),
        (3, [], Verdict.OK, "no worker was there"),
        (0, [0.0], Verdict.WARNING, "the kernel has none"),
    ],
)
def test_one_worker_that_is_not_confined_is_told(
    available: int, told: list[float], verdict: Verdict, words: str
) -> None:
    """What the kernel could do is no answer."""
    found = judged_confinement(available, told)
    assert (found.verdict, words in found.found) == (verdict, True)


@pytest.mark.parametrize(("given", "port"), [(None, 4711), ("0", 4711), ("4712", 4712)])
def test_the_edge_is_looked_for_where_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, port: int
) -> None:
    """A port of zero took a free one, which only the run knows."""
    monkeypatch.delenv("ONEAPI_EDGE_PORT", raising=False)
    if given is not None:
        monkeypatch.setenv("ONEAPI_EDGE_PORT", given)
    looked = Surroundings(ProcessSettings(data_dir=tmp_path), {}, _READY)
    assert address(looked) == ("127.0.0.1", port)

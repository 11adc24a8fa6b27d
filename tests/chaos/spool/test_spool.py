"""The short form of `python -m tests.chaos.spool`: a sample of each attack."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.chaos.spool import damage, disk, kills, real_core, sequence
from tests.chaos.spool.report import Row
from tests.support.core_process import running


def _assert_held(rows: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    for row in rows:
        if row.left_out:
            with capsys.disabled():
                sys.stdout.write(f"\n{row.name}: left out. {row.left_out}\n")
    assert {row.name: dict(row.faults) for row in rows if not row.held} == {}


def test_nothing_wrong_is_read_from_a_damaged_spool(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Flipped bits, overwritten bytes and cut files cost what they hit, and each is counted."""
    with damage.in_memory() as folder:
        _assert_held(list(damage.attack(folder, full=False, seed=2)), capsys)


@pytest.mark.slow
async def test_killed_lost_and_replayed_spools_count_once(
    tmp_path: Path, empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a real core: what was accepted is recorded, what is lost or forged is alarmed."""
    for name in ("core", "victims", "left"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "core", empty_database) as process:
        core = real_core.of_folder(process.target, empty_database, process.data_dir)
        rows = kills.attack(core, tmp_path / "victims", only=1)
        rows += await sequence.attack(core, tmp_path / "left")
    _assert_held(rows, capsys)


@pytest.mark.slow
def test_an_edge_whose_syncs_fail_loses_nothing_and_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Core takes what runs, new requests are refused at once, the next worker has a fresh spool."""
    _assert_held(list(disk.attack(tmp_path, short=True)), capsys)

"""All ids of a month, sorted on disk, and asked whether one is among them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.calendar import end_of, start_of
from archiver.ids import IdSorter, KnownIds
from kit.clock import to_micros
from kit.ids import uuid7_floor
from tests.support.archive_rows import MONTH, rows, workspace

FIRST_MS, END_MS = (to_micros(each(MONTH)) // 1_000 for each in (start_of, end_of))
IDS = st.builds(
    lambda ms, tail: uuid7_floor(ms)[:6] + tail,
    # Also what a clock says just outside of the month.
    st.integers(FIRST_MS - 5, END_MS + 5),
    st.binary(min_size=10, max_size=10),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(IDS, max_size=30).map(sorted), max_size=5))
def test_runs_of_ids_become_one_sorted_file(runs: list[list[bytes]]) -> None:
    """However they are spread; each of them is known then."""
    with TemporaryDirectory() as folder:
        sorter = IdSorter(MONTH, Path(folder))
        for run in runs:
            sorter.add(memoryview(b"".join(run)))
        draft = sorter.finish(Path(folder) / "ids")
        every = sorted(each for run in runs for each in run)
        assert draft.path.read_bytes() == b"".join(every)
        assert draft.rows == len(every)
        with KnownIds([draft.path]) as known:
            assert all(each in known for each in every)
            assert bytes(16) not in known
        assert [path.name for path in Path(folder).iterdir()] == ["ids"]


def test_an_id_is_looked_for_in_all_files(tmp_path: Path) -> None:
    """Those of the month, and those that came late."""
    paths = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        sorter = IdSorter(MONTH, tmp_path / str(number))
        sorter.add(memoryview(b"".join(row["id"] for row in rows(workspace(number), 20))))
        paths.append(sorter.finish(tmp_path / str(number) / "ids").path)
    with KnownIds(paths) as known:
        assert all(row["id"] in known for n in (1, 2) for row in rows(workspace(n), 20))
        assert not any(row["id"] in known for row in rows(workspace(3), 20))

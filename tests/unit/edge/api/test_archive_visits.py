"""A key that asks for the archive too often waits; others do not."""

from __future__ import annotations

import pytest

from edge.api.archive_visits import DOWNLOADS_MAX, PER_MINUTE, ArchiveVisits
from edge.errors import ApiError
from tests.unit.edge.admission.doubles import ManualClock

KEY, OTHER = b"k" * 16, b"o" * 16


def test_a_minute_has_so_many_visits_of_each_key() -> None:
    """The next minute has them again; the answer says when that begins."""
    clock = ManualClock()
    visits = ArchiveVisits(clock)
    for _ in range(PER_MINUTE):
        visits.count(KEY)
    clock.pass_time(20)
    with pytest.raises(ApiError) as refused:
        visits.count(KEY)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.headers[b"retry-after"] == b"40"
    visits.count(OTHER)
    clock.pass_time(40)
    visits.count(KEY)


def test_a_key_streams_so_many_files_at_once() -> None:
    """One that has ended makes room for the next."""
    visits = ArchiveVisits(ManualClock())
    ends = [visits.download(KEY) for _ in range(DOWNLOADS_MAX)]
    with pytest.raises(ApiError) as refused:
        visits.download(KEY)
    assert refused.value.status == 429
    visits.download(OTHER)
    ends.pop()()
    ends.append(visits.download(KEY))
    for end in ends:
        end()
    assert [visits.download(KEY) for _ in range(DOWNLOADS_MAX)]

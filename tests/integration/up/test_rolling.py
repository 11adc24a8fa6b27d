"""Processes are exchanged while clients that never repeat a request go on: nobody notices.

`python -m tests.chaos.rolling` is the long form, with PostgreSQL and every process three times.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from edge.metering.slot import slots_with_spools
from tests.chaos.rolling import (
    LONG,
    Running,
    queued_through_a_kill,
    right,
    settled_books,
    under_load,
)
from tests.support.processes import until
from tests.support.steady_load import Habit

_HABITS = (
    Habit("kept", clients=3, pause_seconds=0.3),
    Habit("fresh", clients=1, pause_seconds=0.2, keeps=False),
    Habit("claiming", clients=2, pause_seconds=0.2, claims=True),
    Habit("streams", clients=2, model="demo-pace-20", stream=True, pause_seconds=0.3),
    Habit("long streams", clients=2, model="demo-pace-50", stream=True),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run everything on this machine, with two edge workers."""
    folder = tmp_path_factory.mktemp("rolling")
    running = Running(folder, stream_seconds=120.0, RETIRE_SECONDS="300", DRAIN_SECONDS="1")
    yield running
    running.up.stop()


@pytest.mark.slow
def test_no_request_fails_while_processes_are_exchanged(service: Running) -> None:
    """All of them are other processes afterwards; every request has its record and its charge."""
    before = {child for _, child in service.up.every_child()}
    row = asyncio.run(under_load(service, "all", _HABITS, ("restart", "all")))
    after = dict(service.up.every_child())
    assert row.story.failures == []
    assert row.story.answered["long streams"] >= 2
    assert not before & {after[part] for part in ("core", "archiver", "edge")}
    queued = asyncio.run(queued_through_a_kill(service, 20))
    assert queued.story.failures == []
    assert queued.story.answered["queued"] == 20
    answered = row.story.request_ids + queued.story.request_ids
    books = settled_books(service, answered)
    assert right(books, len(answered), {"ok": True}), books


@pytest.mark.slow
def test_stopping_for_good_does_not_wait_for_the_streams_of_replaced_workers(
    service: Running,
) -> None:
    """A replaced one that is told so records how its streams ended, ships it and goes."""
    replaced = set(service.edges())
    with _long_stream(service) as answer:
        service.command_at_once("restart", "edge")
        # The command does not wait for the one without a stream either: it ends in its own time.
        until(lambda: len(replaced & set(service.edges())) == 1)
        _goes_on(answer)
        assert len(service.edges()) == 3
        assert service.up.stop() == 0
    # What is killed instead leaves its spool.
    assert slots_with_spools(service.up.data_dir) == []


@contextmanager
def _long_stream(service: Running) -> Iterator[http.client.HTTPResponse]:
    """Hold a stream of two minutes."""
    place = urlsplit(service.ready["base_url"])
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    body = {"model": LONG, "stream": True, "messages": [{"role": "user", "content": "?"}]}
    headers = {"authorization": f"Bearer {service.ready['api_key']}"}
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as answer:
            assert answer.status == http.client.OK
            assert answer.read(1)
            yield answer


def _goes_on(answer: http.client.HTTPResponse) -> None:
    """Read what was under way and what comes after it: a token every two seconds."""
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        line = answer.readline()
        assert line
        assert b'"error"' not in line

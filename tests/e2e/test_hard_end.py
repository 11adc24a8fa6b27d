"""The hard end of a request holds whatever its client does: reads all, little or nothing.

The upstream streams without an end.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from oneapi.metering.v1 import usage_record_pb2 as record
from tests.e2e.conftest import HARD_END_SECONDS
from tests.support.cluster import Cluster
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, public_ids

MODEL = public_ids()[STREAM]
SLACK_SECONDS = 6.0
"""The promise is one second; machines of tests are slow."""
BODY = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Name a thing that is blue."}],
    "stream": True,
}


@contextmanager
def asked(cluster: Cluster) -> Iterator[socket.socket]:
    """Ask for a stream over a socket that takes little."""
    data = json.dumps(BODY).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
        f"authorization: Bearer {cluster.api_key}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", cluster.edges[0].port))
        client.sendall(head.encode() + data)
        yield client


@pytest.mark.parametrize("bytes_a_second", [0, 20])
def test_a_client_that_takes_little_cannot_outlive_the_hard_end(
    cluster: Cluster, cluster_replay: ReplayProcess, bytes_a_second: int
) -> None:
    """The record says failed by the deadline, nothing is held, the socket is closed."""
    cluster_replay.reset()
    cluster_replay.set_faults(STREAM, endless=True)
    with asked(cluster) as client:
        started = time.monotonic()
        request_id = _request_id(client)
        while time.monotonic() - started < HARD_END_SECONDS + SLACK_SECONDS:
            time.sleep(0.05)
            if _is_closed(client):
                break
            if bytes_a_second:
                client.recv(bytes_a_second // 20)
        else:
            raise AssertionError
        assert time.monotonic() - started >= HARD_END_SECONDS - 0.5
    usage = cluster.usage(request_id)
    assert usage.outcome == record.OUTCOME_FAILED
    assert usage.error_class == record.ERROR_CLASS_REQUEST_DEADLINE
    assert usage.total_ms < (HARD_END_SECONDS + SLACK_SECONDS) * 1_000
    until(lambda: cluster.edges[0].metrics()["oneapi_edge_held_nanos"] == 0)


def _request_id(client: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    (line,) = (one for one in head.split(b"\r\n") if one.lower().startswith(b"x-request-id:"))
    return line.partition(b":")[2].strip().decode()


def _is_closed(client: socket.socket) -> bool:
    """Say whether the edge has reset or closed the connection, without reading from it."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def test_a_client_that_reads_is_told_of_the_hard_end(
    cluster: Cluster, cluster_replay: ReplayProcess
) -> None:
    """In-band, and then the connection is cut, never ended cleanly."""
    cluster_replay.reset()
    cluster_replay.set_faults(STREAM, endless=True, pace_ms=50)
    text, clean = "", True
    headers = {"authorization": f"Bearer {cluster.api_key}"}
    url = f"{cluster.edges[0].base_url}/chat/completions"
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", url, json=BODY, headers=headers) as answer,
    ):
        try:
            for part in answer.iter_text():
                text += part
        except httpx.RemoteProtocolError:
            clean = False
    assert not clean
    assert "request_deadline" in text.rstrip().rpartition("\n\n")[2]
    assert "[DONE]" not in text


def test_a_request_that_nobody_answers_ends_with_504(
    cluster: Cluster, cluster_replay: ReplayProcess
) -> None:
    """The connection is closed with it."""
    cluster_replay.reset()
    cluster_replay.set_faults(STREAM, slow_headers_ms=20_000)
    headers = {"authorization": f"Bearer {cluster.api_key}"}
    url = f"{cluster.edges[0].base_url}/chat/completions"
    body = {**BODY, "stream": False}
    answer = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] in {"request_deadline", "upstream_timeout"}

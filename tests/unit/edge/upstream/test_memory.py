"""What a failed exchange leaves behind: nothing that keeps its request in memory (P1)."""

from __future__ import annotations

import gc
import weakref

import pytest

from edge.upstream.client import UpstreamClient, UpstreamRequest
from edge.upstream.errors import UpstreamError
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    Script,
    chunk,
    closing,
    says_and_closes,
    says_and_resets,
    upstream,
)


class Content:
    """Stands for what a caller's frame holds while it waits."""


async def ask(client: UpstreamClient, request: UpstreamRequest) -> weakref.ref[Content]:
    """Fail while holding content; return what tells whether it is still there."""
    content = Content()
    try:
        response = await client.send(request)
        while await response.next_chunk():
            pass
    except UpstreamError:
        return weakref.ref(content)
    raise AssertionError


@pytest.mark.parametrize(
    "script",
    [says_and_closes(CHUNKED_HEAD + chunk(b"half")), says_and_resets()],
    ids=["cut", "reset"],
)
async def test_a_failure_does_not_keep_the_frames_it_passed(script: Script) -> None:
    """Without the garbage collector's help, content is gone as soon as its holder is."""
    gc.collect()
    gc.disable()
    try:
        async with upstream(script) as server, closing(UpstreamClient()) as client:
            left = await ask(client, server.request())
            assert left() is None
    finally:
        gc.enable()

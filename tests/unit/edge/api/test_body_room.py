"""The memory of large bodies of one worker."""

from __future__ import annotations

import pytest

from edge.api.body_room import FREE_BYTES, BodyRoom
from edge.api.http import Message, read_body
from edge.errors import ApiError

LARGE = FREE_BYTES + 1


def test_bodies_share_one_room() -> None:
    """What one request gives back, the next may have."""
    room = BodyRoom(3 * LARGE)
    room.hold(b"first", LARGE)
    room.hold(b"first", 2 * LARGE)
    room.hold(b"second", LARGE)
    with pytest.raises(ApiError) as raised:
        room.hold(b"third", LARGE)
    assert (raised.value.status, raised.value.code) == (503, "no_room_for_body")
    assert b"retry-after" in raised.value.headers
    assert room.used_bytes == 3 * LARGE
    for _ in range(2):  # giving back twice, or what was never held, is harmless
        room.give_back(b"first")
        room.give_back(b"third")
    room.hold(b"third", 2 * LARGE)
    room.give_back(b"second")
    room.give_back(b"third")
    assert room.used_bytes == 0


@pytest.mark.parametrize(("size", "held"), [(FREE_BYTES, 0), (LARGE, LARGE), (5 * LARGE, None)])
async def test_only_a_large_body_takes_room(size: int, held: int | None) -> None:
    """Most requests do not count; one for which there is no room is told to come again."""
    room, parts = BodyRoom(4 * LARGE), [b"x" * (size // 2), b"x" * (size - size // 2)]

    async def receive() -> Message:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    if held is None:
        with pytest.raises(ApiError):
            await read_body({}, receive, 10 * LARGE, room, b"request")
        return
    assert len(await read_body({}, receive, 10 * LARGE, room, b"request")) == size
    assert room.used_bytes == held

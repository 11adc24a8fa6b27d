"""The client's side of an exchange: keep-alives, and who sends the status."""

from __future__ import annotations

import asyncio

from edge.api.alarms import Alarms
from edge.api.client_side import BLANK_LINE, KEEP_ALIVE, ClientSide
from edge.api.http import Message

QUICK_SECONDS = 0.01


class Sent:
    """Keeps what was sent, and wakes who waits for it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._more = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        """Take a message."""
        self.messages.append(message)
        self._more.set()

    async def until(self, count: int) -> None:
        """Wait for so many messages."""
        while len(self.messages) < count:
            self._more.clear()
            await self._more.wait()

    @property
    def bodies(self) -> list[bytes]:
        """Return the parts of the body."""
        return [one["body"] for one in self.messages if one["type"] == "http.response.body"]


async def test_silence_brings_the_status_and_a_comment() -> None:
    """Proxies on the way do not give up; the status goes out with the first of either."""
    sent = Sent()
    client = ClientSide(sent, [], Alarms(QUICK_SECONDS))
    await sent.until(3)
    client.stop()
    assert sent.messages[0] == {"type": "http.response.start", "status": 200, "headers": []}
    assert set(sent.bodies) == {KEEP_ALIVE}


async def test_an_api_may_have_a_keep_alive_of_its_own() -> None:
    """Google's clients get blank lines."""
    sent = Sent()
    client = ClientSide(sent, [], Alarms(QUICK_SECONDS), keep_alive=BLANK_LINE)
    await sent.until(3)
    client.stop()
    assert set(sent.bodies) == {b"\n"}


async def test_a_keep_alive_leaves_the_status_alone_once_it_is_out() -> None:
    """One status each answer."""
    sent = Sent()
    client = ClientSide(sent, [], Alarms(QUICK_SECONDS))
    await client.start(200, [])
    await sent.until(3)
    client.stop()
    assert [one["type"] for one in sent.messages].count("http.response.start") == 1


async def test_an_answer_that_is_no_stream_has_no_keep_alives() -> None:
    """A comment would break its JSON."""
    sent = Sent()
    client = ClientSide(sent, [], None)
    await asyncio.sleep(3 * QUICK_SECONDS)
    await client.start(200, [])
    await client.finish(b"{}")
    assert sent.bodies == [b"{}"]


async def test_after_stop_not_even_a_pending_comment_goes_out() -> None:
    """An error's own body must not begin with a comment."""
    sent = Sent()
    client = ClientSide(sent, [], Alarms(1_000.0))
    client._last -= 1_000.0
    client._tick()
    client.stop()
    await client.start(502, [])
    await asyncio.sleep(0)
    await client.finish(b"{}")
    assert sent.bodies == [b"{}"]
    assert sent.messages[0]["status"] == 502

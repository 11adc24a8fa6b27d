"""The memory that large request bodies may take in one worker, all together.

A body is in memory from its first byte to the end of its request. The limit of one body bounds one
client; this bounds all of them, so that a few keys cannot fill the machine.
"""

from __future__ import annotations

from typing import Final

from edge import errors

FREE_BYTES: Final = 64 * 1024
"""A body up to this size is not counted: connections are bounded as well."""


class BodyRoom:
    """Counts the bytes of large bodies by request."""

    def __init__(self, limit_bytes: int) -> None:
        """Hold at most so many bytes."""
        self._limit_bytes = limit_bytes
        self._held: dict[bytes, int] = {}
        self.used_bytes = 0

    def hold(self, request_id: bytes, size: int) -> None:
        """Note that the body of a request has grown to this size.

        Raises:
            ApiError: 503, there is no room for it now.
        """
        more = size - self._held.get(request_id, 0)
        if self.used_bytes + more > self._limit_bytes:
            raise errors.unavailable(
                "no_room_for_body", "Too many large requests are being served now."
            )
        self._held[request_id] = size
        self.used_bytes += more

    def give_back(self, request_id: bytes) -> None:
        """Note that a request is over, whether its body was large or not."""
        self.used_bytes -= self._held.pop(request_id, 0)

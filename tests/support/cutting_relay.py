"""A relay before a server that cuts connections in the middle of what they carry."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

READ_BYTES = 8_192


@dataclass
class CuttingRelay:
    """Relays to a port of this machine; `cuts` are after how many bytes, each used once."""

    target: int
    cuts: list[int] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    """What clients sent, piece by piece."""

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as far:
            threading.Thread(target=self._forward, args=(client, far), daemon=True).start()
            try:
                self._answer(client, far)
            finally:
                # Closing alone says nothing while the other thread still reads.
                client.shutdown(socket.SHUT_RDWR)

    def _answer(self, client: socket.socket, far: socket.socket) -> None:
        passed = 0
        while piece := far.recv(READ_BYTES):
            limit = min(self.cuts, default=None)
            if limit is not None and passed + len(piece) > limit:
                self.cuts.remove(limit)
                client.sendall(piece[: limit - passed])
                return
            client.sendall(piece)
            passed += len(piece)

    def _forward(self, client: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(READ_BYTES):
                self.requests.append(piece)
                far.sendall(piece)
            far.shutdown(socket.SHUT_WR)


@contextmanager
def cutting_relay(target: int, *cuts: int) -> Iterator[tuple[int, CuttingRelay]]:
    """Relay to a port; yields the port before it, and the relay."""
    relay = CuttingRelay(target, list(cuts))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)

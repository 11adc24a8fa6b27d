"""Calls to a core that may be dead at any moment: repeated until they are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from kit.reasons import DomainError, Unavailable
from kit.rpc.identity import bearer
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import payment_service_pb2, payment_service_pb2_grpc
from tests.support.core_process import TOKENS

ANSWER_SECONDS = 20.0
PATIENCE_SECONDS = 240.0
PAUSE_SECONDS = 0.1


class Link:
    """One channel to core; `faults` counts answers that said a fault of ours."""

    def __init__(self, target: str) -> None:
        self._target = target
        # A channel waits ever longer for a server that is away; ours comes back soon.
        options = (
            ("grpc.max_reconnect_backoff_ms", 300),
            ("grpc.initial_reconnect_backoff_ms", 50),
        )
        self._channel = grpc.insecure_channel(target, options=options)
        self.faults = 0
        self.repeated = 0

    def once(self, stub: Any, method: str, request: Any, caller: str = "operator") -> Any:
        """Call once.

        Raises:
            DomainError: what core said, or `Unavailable` if it did not.
        """
        ask = getattr(stub(self._channel), method)
        try:
            return ask(request, timeout=ANSWER_SECONDS, metadata=bearer(TOKENS[caller]))
        except grpc.RpcError as error:
            self.faults += error.code() is grpc.StatusCode.INTERNAL
            raise domain_error_of(error) from None

    def call(self, stub: Any, method: str, request: Any, caller: str = "operator") -> Any:
        """Repeat a call until core answers it.

        Raises:
            DomainError: core refused it.
        """
        return self._patiently(lambda: self.once(stub, method, request, caller))

    def stream(self, stub: Any, method: str, request: Any, caller: str) -> Any:
        """Repeat a stream of one message until its first answer."""

        def ask() -> Any:
            answers = getattr(stub(self._channel), method)(
                iter([request]), timeout=ANSWER_SECONDS, metadata=bearer(TOKENS[caller])
            )
            try:
                return next(iter(answers))
            except (grpc.RpcError, StopIteration):
                raise Unavailable from None

        return self._patiently(ask)

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            self.repeated += 1
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


@contextmanager
def webhooks(link: Link) -> Iterator[str]:
    """Run what the edge does with webhooks: hand bytes and signature to core, else 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = payment_service_pb2.ReceiveStripeEventRequest(
                body=self.rfile.read(int(self.headers["content-length"])),
                signature=self.headers["stripe-signature"],
            )
            stub = payment_service_pb2_grpc.PaymentServiceStub
            try:
                link.once(stub, "ReceiveStripeEvent", request, "edge")
                status = 200
            except Unavailable:
                status = 503
            except DomainError:
                status = 400
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/webhooks/stripe"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

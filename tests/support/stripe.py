"""The Stripe simulator as a child process of a test, with the SDK and its script at hand."""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import stripe

from tests.support.server_process import ServerProcess

API_KEY: Final = "sk_test_simulated"
WEBHOOK_SECRET: Final = "whsec_simulated"
ANSWER_SECONDS_MAX: Final = 30.0
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""It speaks plain HTTP: reading the web's certificates for each order would only take time."""


class OrderRefusedError(Exception):
    """The simulator refused an order; carries its status and its error."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status, error.get("code"), error.get("param"))
        self.status = status
        self.error = error


class StripeSimulator(ServerProcess):
    """One simulated account; `with` starts and ends the process."""

    def __init__(
        self,
        *,
        port: int = 0,
        webhook_url: str | None = None,
        webhook_style: str = "snapshot",
        webhook_secrets: tuple[str, ...] = (WEBHOOK_SECRET,),
        api_key: str = API_KEY,
        state: Path | None = None,
        test_clock: Path | None = None,
        seed: int | None = None,
    ) -> None:
        """Describe the process."""
        options = {
            "--port": port,
            "--webhook-url": webhook_url,
            "--webhook-style": webhook_style,
            "--state": state,
            "--test-clock": test_clock,
            "--seed": seed,
        }
        given = [(name, str(value)) for name, value in options.items() if value is not None]
        secrets = {
            "STRIPE_SIM_API_KEY": api_key,
            "STRIPE_SIM_WEBHOOK_SECRETS": ",".join(webhook_secrets),
        }
        super().__init__(
            "tools.stripe_sim", *(part for pair in given for part in pair), variables=secrets
        )
        self.api_key = api_key

    @asynccontextmanager
    async def client(self, *, retries: int = 0) -> AsyncIterator[stripe.StripeClient]:
        """Run the SDK's client of this account, over httpx."""
        transport = stripe.HTTPXClient(allow_sync_methods=True)
        try:
            yield stripe.StripeClient(
                self.api_key,
                base_addresses={"api": self.origin},
                max_network_retries=retries,
                http_client=transport,
            )
        finally:
            transport.close()  # type: ignore[no-untyped-call]
            await transport.close_async()  # type: ignore[no-untyped-call]

    def order(self, path: str, /, **fields: Any) -> Any:
        """Give an order to `/_sim/<path>` and return its answer.

        Raises:
            OrderRefusedError: it was refused.
        """
        return self._ask("POST", path, fields)

    def state(self) -> dict[str, Any]:
        """Return everything that the account holds."""
        answer: dict[str, Any] = self._ask("GET", "state")
        return answer

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind, oldest first."""
        found: list[dict[str, Any]] = self.state()["objects"].get(kind, [])
        return found

    def fault(self, kind: str, /, **fields: Any) -> None:
        """Order a fault."""
        self.order("faults", kind=kind, **fields)

    def no_faults(self) -> None:
        """End every fault."""
        self._ask("DELETE", "faults")

    def _ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        answer = httpx.request(
            method,
            f"{self.origin}/_sim/{path}",
            json=fields,
            timeout=ANSWER_SECONDS_MAX,
            trust_env=False,
            verify=_NO_CERTIFICATES,
        )
        body = answer.json()
        if answer.status_code != 200:
            raise OrderRefusedError(answer.status_code, body["error"])
        return body


@dataclass
class Receiver:
    """A webhook endpoint that keeps what it is sent and answers as it is told."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    """Answers to the next deliveries; 200 when there is none left."""
    received: list[tuple[bytes, str]] = field(default_factory=list)
    """Bodies and signature headers, in the order of arrival."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a webhook endpoint on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append((body, self.headers["stripe-signature"]))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/stripe"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

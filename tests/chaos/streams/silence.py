"""A model that thinks for long, behind a proxy that cuts whoever is silent for some seconds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.chaos.streams.asking import Told, ask, sdk
from tests.support.links.client import Wire
from tests.support.stack import STREAM, Stack, recorded_chats


@dataclass(frozen=True, slots=True)
class Bridged:
    """What the client saw after the silence."""

    silent_seconds: float
    proxy_seconds: float
    told: Told

    @property
    def held(self) -> bool:
        """Say whether the answer came, whole."""
        return not self.told.raised and self.told.chunks > 0


def run(stack: Stack, *, silent_seconds: float, proxy_seconds: float) -> Bridged:
    """Ask through the proxy for a stream whose first byte comes after the silence."""
    stack.replay.reset()
    stack.replay.set_faults(STREAM, slow_headers_ms=int(silent_seconds * 1000))
    place = urlsplit(stack.base_url)
    assert place.port is not None
    with Wire(place.port) as proxy:
        proxy.tell(idle_seconds=proxy_seconds)
        base_url = f"http://127.0.0.1:{proxy.port}{place.path}"
        with sdk(base_url, stack.api_key) as client:
            patient = client.with_options(timeout=silent_seconds + 60)
            told = ask(patient, recorded_chats()[STREAM], model="patient")
    stack.replay.reset()
    return Bridged(silent_seconds, proxy_seconds, told)

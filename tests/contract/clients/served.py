"""The service of the matrix: the demo provider behind it in each API, with models for the cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.contract.clients.upstream import DemoUpstream
from tests.support.stack import Stack, service

APIS: Final = ("chat", "responses", "messages", "generate")
_UPSTREAMS: Final[dict[str, dict[str, Any]]] = {
    "chat": {"dialect": "openai", "surfaces": ["chat_completions"]},
    "responses": {"dialect": "openai", "surfaces": ["responses"]},
    "messages": {"dialect": "anthropic", "surfaces": ["messages", "count_tokens"]},
    "generate": {
        "dialect": "google",
        "surfaces": ["generate_content", "count_tokens"],
        "stream_end": "eof",
    },
}
_BASES: Final = {"generate": "/v1beta"}
CASES: Final = {
    "demo": "demo",
    "tools": "demo-cached-1",
    "cut": "demo-cut-8",
    "endless": "demo-pace-20+tokens-4096",
    "refused": "demo-error-400",
}
"""The demo provider's model for each case, so that its calls can be told apart."""
_SECONDS: Final = {"first_byte_timeout_ms": 30_000, "idle_timeout_ms": 30_000}


@dataclass(frozen=True, slots=True)
class Served:
    """The running service and the provider behind it."""

    stack: Stack
    demo: DemoUpstream

    @property
    def origin(self) -> str:
        """Return the service's address without `/v1`."""
        return self.stack.base_url.removesuffix("/v1")


def model(api: str, case: str) -> str:
    """Return the public model that an upstream API serves for a case."""
    return f"{api}-{case}"


def catalogue(origin: str) -> dict[str, Any]:
    """Return an upstream for each API, and its models."""
    upstreams = [
        {"name": f"served_{api}", "base_url": base_url(origin, api), **_UPSTREAMS[api]}
        for api in APIS
    ]
    models = [_model(api, case, name) for api in APIS for case, name in CASES.items()]
    return {"format": 1, "upstreams": upstreams, "models": models}


def base_url(origin: str, api: str) -> str:
    """Return where the demo provider speaks an API."""
    return origin + _BASES.get(api, "/v1")


def _model(api: str, case: str, name: str) -> dict[str, Any]:
    candidate = {"upstream": f"served_{api}", "upstream_model": name, **_SECONDS}
    return {
        "public_id": model(api, case),
        "display_name": model(api, case),
        "maker": "tests",
        "context_tokens": 1_000_000,
        "max_output_tokens": 64_000,
        "image_max_tokens": 4_096,
        "file_max_tokens": 65_536,
        "tool_calls_max": 3,
        "tool_call_max_tokens": 2_000,
        "capabilities": ["image_input", "reasoning", "structured_output", "tools"],
        "routes": [{"candidates": [candidate]}],
        "prices": [{"tiers": [{"input": 100_000_000, "output": 400_000_000}]}],
    }


@contextmanager
def served() -> Iterator[Served]:
    """Run the service with the demo provider of this process behind it."""
    with DemoUpstream() as demo, service() as stack:
        add_models(stack, demo)
        yield Served(stack, demo)


def add_models(stack: Stack, demo: DemoUpstream) -> None:
    """Import the models of the matrix into a running service."""
    stack.import_catalogue(catalogue(demo.origin))

"""Which upstreams this installation has credentials for: core's environment says so at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.catalog.model import UpstreamFacts

DEMO_PATHS: Final[Mapping[str, str]] = {
    "demo": "/v1",
    "demo-anthropic": "/v1",
    "demo-google": "/v1beta",
}
"""The upstreams of the built-in demo provider, one for each dialect, and where its API begins."""
_DEMO_CREDENTIAL: Final = b"demo"
_SUFFIXES: Final = ("_API_KEY", "_BASE_URL")
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "google": "GEMINI",
    "togetherai": "TOGETHER",
    "moonshotai": "MOONSHOT",
}
"""Where a provider's own tools read other variables than its name suggests."""


@dataclass(frozen=True, slots=True)
class Providers:
    """Credentials and addresses by upstream name, from variables such as `OPENAI_API_KEY`.

    `<NAME>_BASE_URL` points an upstream elsewhere. The built-in demo provider has an address only:
    that of its OpenAI API, from which the addresses of its other APIs follow.
    """

    variables: Mapping[str, str] = field(repr=False)
    demo_base_url: str | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], demo_base_url: str | None) -> Providers:
        """Keep the variables of providers, and nothing else of an environment."""
        kept = {name: value for name, value in environment.items() if name.endswith(_SUFFIXES)}
        return cls(kept, demo_base_url)

    def credential_of(self, upstream: str) -> bytes | None:
        """Return the credential of an upstream, None if this installation has none."""
        if upstream in DEMO_PATHS:
            return _DEMO_CREDENTIAL if self.demo_base_url else None
        value = self.variables.get(f"{_prefix(upstream)}_API_KEY", "").strip()
        return value.encode() or None

    def placed(self, facts: UpstreamFacts) -> UpstreamFacts:
        """Return the upstream at the address that this installation uses.

        Its data policy is a promise of who answers at the catalogue's address: elsewhere nobody has
        made it.
        """
        elsewhere = self.variables.get(f"{_prefix(facts.name)}_BASE_URL", "").strip()
        if facts.name in DEMO_PATHS and self.demo_base_url:
            root = self.demo_base_url.rstrip("/").removesuffix("/v1")
            elsewhere = root + DEMO_PATHS[facts.name]
        if not elsewhere:
            return facts
        moved = {**facts.model_dump(), "base_url": elsewhere.rstrip("/")}
        if facts.name not in DEMO_PATHS and _origin(elsewhere) != _origin(facts.base_url):
            moved["data_policy"] = "unknown"
        return UpstreamFacts.model_validate(moved)


def _origin(url: str) -> str:
    """Return scheme, host and port, as they are written: a doubt counts as another origin."""
    scheme, _, rest = url.lower().partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _prefix(upstream: str) -> str:
    name = _OTHER_NAMES.get(upstream, upstream)
    return name.upper().replace("-", "_").replace(".", "_")

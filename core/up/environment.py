"""What each child gets to know: an allow-list, so that a secret reaches only its process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.up.settings import HOST

_INHERITED: Final = re.compile(
    r"PATH|HOME|LANG|LC_[A-Z]+|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH"
    r"|SSL_CERT_(FILE|DIR)|PYTHON[A-Z]+"
)
_OURS: Final = re.compile(r"ONEAPI_[A-Z0-9_]+")
_SECRET: Final = re.compile(r"[A-Z0-9_]*(KEY|SECRET|TOKEN|PEPPER|PASSWORD|URL)S?")
_STORE: Final = re.compile(r"ONEAPI_ARCHIVE_S3_[A-Z_]+|(AWS|GOOGLE|AZURE)_[A-Z0-9_]+")
_PROVIDER: Final = re.compile(r"[A-Z0-9_]+_(API_KEY|BASE_URL)")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of this run listen and what they read."""

    data_dir: Path
    credentials: Path
    edge_port: int
    core_port: int
    archiver_port: int
    demo_port: int
    database_url: str = field(repr=False)

    @property
    def core_target(self) -> str:
        """Return core's gRPC address."""
        return f"{HOST}:{self.core_port}"

    @property
    def archiver_target(self) -> str:
        """Return the archiver's gRPC address."""
        return f"{HOST}:{self.archiver_port}"

    @property
    def base_url(self) -> str:
        """Return the base URL for clients."""
        return f"http://{HOST}:{self.edge_port}/v1"

    @property
    def demo_base_url(self) -> str:
        """Return the base URL of the demo provider."""
        return f"http://{HOST}:{self.demo_port}/v1"


def outsider(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that stands for the outside: nothing of ours."""
    return _matching(surroundings, _INHERITED)


def service(surroundings: Mapping[str, str], addresses: Addresses) -> dict[str, str]:
    """Return the environment of edge and archiver: our settings, but no secret among them."""
    settings = _matching(surroundings, _OURS)
    public = {name: value for name, value in settings.items() if not _SECRET.fullmatch(name)}
    return {**outsider(surroundings), **public, **_of_this_run(addresses)}


def archiver(surroundings: Mapping[str, str], addresses: Addresses) -> dict[str, str]:
    """Return the archiver's environment: a service's, and what opens the store of its files.

    A cloud's credentials only where a store was named: a folder needs none.
    """
    told = service(surroundings, addresses)
    if not surroundings.get("ONEAPI_ARCHIVE_STORE"):
        return told
    return {**told, **_matching(surroundings, _STORE)}


def core(surroundings: Mapping[str, str], addresses: Addresses) -> dict[str, str]:
    """Return core's environment: all our settings, the database, the providers' keys and URLs."""
    return {
        **_matching(surroundings, _PROVIDER),
        **outsider(surroundings),
        **_matching(surroundings, _OURS),
        **_of_this_run(addresses),
        "DATABASE_URL": addresses.database_url,
    }


def scrubbed(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process in which freed memory is overwritten at once.

    Python's own allocator would keep freed objects readable; the C library's can fill them (glibc
    only: elsewhere the second variable does nothing).
    """
    return {
        **variables,
        "PYTHONMALLOC": "malloc",
        "GLIBC_TUNABLES": "glibc.malloc.perturb=90:glibc.malloc.tcache_count=0",
    }


def _of_this_run(addresses: Addresses) -> dict[str, str]:
    return {
        "ONEAPI_PROFILE": "dev",
        "ONEAPI_DATA_DIR": str(addresses.data_dir),
        "ONEAPI_CREDENTIALS": str(addresses.credentials),
        "ONEAPI_EDGE_PORT": str(addresses.edge_port),
        "ONEAPI_CORE_PORT": str(addresses.core_port),
        "ONEAPI_ARCHIVER_PORT": str(addresses.archiver_port),
        "ONEAPI_CORE_TARGET": addresses.core_target,
        "ONEAPI_ARCHIVER_TARGET": addresses.archiver_target,
        "ONEAPI_DEMO_BASE_URL": addresses.demo_base_url,
    }


def _matching(surroundings: Mapping[str, str], names: re.Pattern[str]) -> dict[str, str]:
    return {name: value for name, value in surroundings.items() if names.fullmatch(name)}

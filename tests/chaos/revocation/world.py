"""Edges on two cores, and the changes that an operator makes at one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc

from oneapi.accounts.v1 import workspace_service_pb2 as accounts_pb
from oneapi.accounts.v1 import workspace_service_pb2_grpc as accounts_grpc
from oneapi.catalog.v1 import catalog_service_pb2 as catalog_pb
from oneapi.catalog.v1 import catalog_service_pb2_grpc as catalog_grpc
from oneapi.keys.v1 import api_key_pb2
from oneapi.keys.v1 import key_service_pb2 as keys_pb
from oneapi.keys.v1 import key_service_pb2_grpc as keys_grpc
from tests.support.bound_upstream import model_entry
from tests.support.cluster import Cluster
from tests.support.server_process import ServerProcess

QUICK = "use-001-0000"
ALSO_QUICK = "use-002-0000"
OTHER = "use-003-0000"
SLOW_STREAM = "slow-100-1000"
"""A word a second."""
MOVING = "moving-alias"
CALL_SECONDS = 30.0
CREDIT = 1_000_000_000_000


@dataclass
class World:
    """The cluster and one operator's channel to each core."""

    cluster: Cluster
    upstream_url: str
    channels: list[grpc.Channel] = field(default_factory=list)

    def keys(self, core: int) -> keys_grpc.KeyServiceStub:
        """Return the key service of a core."""
        return keys_grpc.KeyServiceStub(self.channels[core])

    def workspaces(self, core: int) -> accounts_grpc.WorkspaceServiceStub:
        """Return the workspace service of a core."""
        return accounts_grpc.WorkspaceServiceStub(self.channels[core])

    def workspace(self) -> str:
        """Make a workspace with plenty of credit."""
        made = self.cluster.empty_workspace()
        self.cluster.grant(CREDIT, made)
        return made

    def key(self, workspace: str, **settings: Any) -> tuple[str, str]:
        """Make a key; return its id and secret."""
        asked = keys_pb.CreateKeyRequest(
            request_id=f"test-{time.monotonic_ns()}",
            workspace_id=workspace,
            display_name="Test",
            settings=api_key_pb2.KeySettings(**settings),
        )
        answer = self.keys(0).CreateKey(asked, timeout=CALL_SECONDS)
        return str(answer.key.key_id), str(answer.secret)

    def revoke(self, core: int, key_id: str) -> None:
        """Stop a key for good, at one core."""
        asked = keys_pb.RevokeKeyRequest(key_id=key_id)
        self.keys(core).RevokeKey(asked, timeout=CALL_SECONDS)

    def import_models(self, core: int, *entries: dict[str, Any]) -> None:
        """Change the catalogue at one core."""
        upstream = {"name": "bound", "base_url": self.upstream_url}
        document = {"format": 1, "upstreams": [upstream], "models": list(entries)}
        asked = catalog_pb.ImportCatalogRequest(document=json.dumps(document).encode())
        stub = catalog_grpc.CatalogServiceStub(self.channels[core])
        stub.ImportCatalog(asked, timeout=CALL_SECONDS)


def models() -> list[dict[str, Any]]:
    """Return the catalogue at the start: the alias stands for the first model."""
    first = model_entry(QUICK, aliases=[MOVING])
    return [first, *map(model_entry, (ALSO_QUICK, OTHER, SLOW_STREAM))]


def body_of(model: str, *, stream: bool = False, max_tokens: int = 10) -> bytes:
    """Return a request."""
    message = {"role": "user", "content": "Name a thing that is blue."}
    fields = {"model": model, "messages": [message], "max_tokens": max_tokens, "stream": stream}
    return json.dumps(fields).encode()


@contextmanager
def world(
    folder: Path,
    *,
    edges: int = 3,
    cores: int = 2,
    link: Literal["wire", "messenger"] = "wire",
    disconnected_seconds: int = 600,
) -> Iterator[World]:
    """Run the cluster with a provider that answers at once."""
    settings = {
        "DISCONNECTED_SECONDS": str(disconnected_seconds),
        "REQUEST_MAX_SECONDS": "60",
    }
    with (
        ServerProcess("tests.support.bound_upstream") as upstream,
        Cluster(
            folder,
            edge_count=edges,
            core_count=cores,
            link=link,
            edge_settings=settings,
            core_settings=settings,
            provider_variables={"BOUND_API_KEY": "none", "BOUND_BASE_URL": upstream.base_url},
        ) as cluster,
    ):
        here = World(cluster, upstream.base_url)
        here.channels = [cluster.channel_to(core) for core in cluster.cores]
        try:
            cluster.import_catalogue(
                {
                    "format": 1,
                    "upstreams": [{"name": "bound", "base_url": upstream.base_url}],
                    "models": models(),
                }
            )
            yield here
        finally:
            for channel in here.channels:
                channel.close()


def suspend(here: World, core: int, workspace: str) -> None:
    """Suspend a workspace at one core."""
    asked = accounts_pb.SuspendWorkspaceRequest(workspace_id=workspace)
    here.workspaces(core).SuspendWorkspace(asked, timeout=CALL_SECONDS)


def resume(here: World, core: int, workspace: str) -> None:
    """Resume it."""
    asked = accounts_pb.ResumeWorkspaceRequest(workspace_id=workspace)
    here.workspaces(core).ResumeWorkspace(asked, timeout=CALL_SECONDS)

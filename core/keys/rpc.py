"""KeyService: parse, call, render."""

from __future__ import annotations

from typing import Any

from core.audit import Act
from core.db.database import Pool
from core.db.paging import (
    id_token,
    int_token,
    page_size,
    parse_id_token,
    parse_int_token,
    split_page,
)
from core.feed.busy_counter import repeat_while_busy
from core.keyring import Keyring
from core.keys import service, store
from core.keys.messages import event_message, key_message, parse_settings
from core.keys.model import ApiKey, KeyEventKind
from kit.clock import Clock, now
from kit.ids import IdSource, parse_id
from kit.rpc.server import Service
from oneapi.keys.v1 import api_key_pb2, key_service_pb2_grpc
from oneapi.keys.v1 import key_service_pb2 as pb

NAME = "oneapi.keys.v1.KeyService"
_OPERATOR = frozenset({"operator"})
ALLOWED = dict.fromkeys(
    (
        "CreateKey",
        "GetKey",
        "ListKeys",
        "UpdateKey",
        "RotateKey",
        "DisableKey",
        "EnableKey",
        "RevokeKey",
        "ListKeyEvents",
    ),
    _OPERATOR,
)
_FIRST_VERSION = 2**63 - 1


class KeyServicer(key_service_pb2_grpc.KeyServiceServicer):
    """Serves API keys to operators."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, peppers: Keyring) -> None:
        """Work on the pool's database; hash new secrets under the newest pepper."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._peppers = peppers

    @repeat_while_busy
    async def CreateKey(self, request: pb.CreateKeyRequest, context: Any) -> pb.CreateKeyResponse:
        """Create a key and show its secret once."""
        async with self._pool.transaction("system") as tx:
            shown = await service.create_key(
                tx,
                self._act(),
                self._peppers,
                request_id=request.request_id,
                workspace_id=parse_id("ws", request.workspace_id),
                display_name=request.display_name,
                settings=parse_settings(request.settings),
            )
            await tx.commit()
        return pb.CreateKeyResponse(key=self._message(shown.key), secret=shown.secret)

    async def GetKey(self, request: pb.GetKeyRequest, context: Any) -> pb.GetKeyResponse:
        """Read one key."""
        async with self._pool.transaction("system") as tx:
            key = await store.get_key(tx, parse_id("key", request.key_id))
        return pb.GetKeyResponse(key=self._message(key))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> pb.ListKeysResponse:
        """List the keys of a workspace, newest first."""
        workspace_id = parse_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("app", workspace_id) as tx:
            rows = await store.list_keys(tx, workspace_id, before, size + 1)
        page, token = split_page(rows, size, lambda row: id_token(row.key_id))
        return pb.ListKeysResponse(keys=map(self._message, page), next_page_token=token)

    @repeat_while_busy
    async def UpdateKey(self, request: pb.UpdateKeyRequest, context: Any) -> pb.UpdateKeyResponse:
        """Change a key's name and settings as a whole."""
        async with self._pool.transaction("system") as tx:
            key = await service.update_key(
                tx,
                self._act(),
                parse_id("key", request.key_id),
                display_name=request.display_name,
                settings=parse_settings(request.settings),
                expected_version=request.expected_version,
            )
            await tx.commit()
        return pb.UpdateKeyResponse(key=self._message(key))

    @repeat_while_busy
    async def RotateKey(self, request: pb.RotateKeyRequest, context: Any) -> pb.RotateKeyResponse:
        """Give a key a new secret and show it once."""
        async with self._pool.transaction("system") as tx:
            shown = await service.rotate_key(
                tx,
                self._act(),
                self._peppers,
                request_id=request.request_id,
                key_id=parse_id("key", request.key_id),
                grace_seconds=request.grace_seconds,
            )
            await tx.commit()
        return pb.RotateKeyResponse(key=self._message(shown.key), secret=shown.secret)

    async def DisableKey(
        self, request: pb.DisableKeyRequest, context: Any
    ) -> pb.DisableKeyResponse:
        """Stop a key until it is enabled."""
        key = await self._move(request.key_id, KeyEventKind.DISABLED)
        return pb.DisableKeyResponse(key=key)

    async def EnableKey(self, request: pb.EnableKeyRequest, context: Any) -> pb.EnableKeyResponse:
        """Let a disabled key work again."""
        return pb.EnableKeyResponse(key=await self._move(request.key_id, KeyEventKind.ENABLED))

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Any) -> pb.RevokeKeyResponse:
        """Stop a key for good."""
        return pb.RevokeKeyResponse(key=await self._move(request.key_id, KeyEventKind.REVOKED))

    async def ListKeyEvents(
        self, request: pb.ListKeyEventsRequest, context: Any
    ) -> pb.ListKeyEventsResponse:
        """List the steps of a key's life, newest first."""
        size = page_size(request.page_size)
        before = parse_int_token(request.page_token, _FIRST_VERSION)
        key_id = parse_id("key", request.key_id)
        async with self._pool.transaction("system") as tx:
            await store.get_key(tx, key_id)
            rows = await store.list_events(tx, key_id, before, size + 1)
        page, token = split_page(rows, size, lambda row: int_token(row.version))
        return pb.ListKeyEventsResponse(events=map(event_message, page), next_page_token=token)

    @repeat_while_busy
    async def _move(self, key_id: str, step: KeyEventKind) -> api_key_pb2.ApiKey:
        async with self._pool.transaction("system") as tx:
            key = await service.move_key(tx, self._act(), parse_id("key", key_id), step)
            await tx.commit()
        return self._message(key)

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)

    def _message(self, key: ApiKey) -> api_key_pb2.ApiKey:
        return key_message(key, now(self._clock))


def key_service(pool: Pool, clock: Clock, ids: IdSource, peppers: Keyring) -> Service:
    """Return the service for the server."""
    add = key_service_pb2_grpc.add_KeyServiceServicer_to_server
    return Service(NAME, add, KeyServicer(pool, clock, ids, peppers), ALLOWED)

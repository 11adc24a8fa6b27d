"""Who may have what of the archive, and the record of every hand-out and every denial.

Whoever asks on behalf of a key shows the user context that core signed. Only internal callers ask
in their own right. Nothing is handed out, and nobody is turned away, before core has it on record:
while core is away, everybody is told to come again.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import grpc

from kit.clock import Clock, now_micros
from kit.platform_keys import PublicKeys, parse_keys
from kit.reasons import DomainError, PermissionMissing, Unauthenticated
from kit.rpc.identity import current_caller
from kit.rpc.status import domain_error_of
from kit.user_context import (
    METADATA_KEY,
    TEXT_CHARACTERS_MAX,
    InvalidUserContext,
    UnknownSigningKey,
    UserContext,
    check_current,
    read_signed,
)
from oneapi.billing.v1 import receipt_service_pb2, receipt_service_pb2_grpc
from oneapi.security.v1 import access_service_pb2, access_service_pb2_grpc

ARCHIVES_DOWNLOAD: Final = "archives.download"
AUDIENCE: Final = "archiver"
IN_THEIR_OWN_RIGHT: Final = frozenset({"operator", "finance", "support"})
CALL_SECONDS: Final = 5.0
KEYS_AGAIN_SECONDS: Final = 1.0
"""A key that nobody knows makes us ask core for newer ones no more often than this."""
_Outcome = access_service_pb2.RecordAccessRequest


class Ask(NamedTuple):
    """What a call wants: an action such as `archive.Download`, whose files, and which."""

    action: str
    workspace_id: str
    object_id: str = ""


class Access:
    """Lets calls in that may, and tells core of all that matter."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        """Ask and tell core over the channel."""
        self._audit = access_service_pb2_grpc.AccessServiceStub(channel)
        self._receipts = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        self._clock = clock
        self._keys = PublicKeys({})
        self._keys_at = float("-inf")

    async def admit(self, ask: Ask, context: Any) -> None:
        """Let a call go on that may; a denial is on record before it is said.

        Raises:
            Unauthenticated: nothing proves on whose behalf it is made.
            PermissionMissing: they may not, or not in this workspace.
            Unavailable: core cannot be asked, or told, now.
        """
        try:
            await self._check(ask, _user_context(context))
        except (PermissionMissing, Unauthenticated):
            await self._record(ask, context, _Outcome.OUTCOME_DENIED)
            raise

    async def handing_out(self, ask: Ask, context: Any) -> None:
        """Put on record that something is handed out; to be called before it is.

        Raises:
            Unavailable: core cannot be told now.
        """
        await self._record(ask, context, _Outcome.OUTCOME_HANDED_OUT)

    async def _check(self, ask: Ask, text: str) -> None:
        if not text and current_caller().name in IN_THEIR_OWN_RIGHT:
            return
        try:
            user = await self._read(text)
            check_current(user, AUDIENCE, now_micros(self._clock))
        except InvalidUserContext:
            raise Unauthenticated from None
        if user.workspace_id != ask.workspace_id or ARCHIVES_DOWNLOAD not in user.permissions:
            raise PermissionMissing(permission=ARCHIVES_DOWNLOAD)

    async def _read(self, text: str) -> UserContext:
        try:
            return read_signed(text, self._keys)
        except UnknownSigningKey:
            await self._look_for_keys()
        return read_signed(text, self._keys)

    async def _look_for_keys(self) -> None:
        moment = self._clock.monotonic()
        if moment - self._keys_at < KEYS_AGAIN_SECONDS:
            return
        wanted = receipt_service_pb2.GetPlatformKeysRequest()
        answer = await _called(self._receipts.GetPlatformKeys, wanted)
        self._keys, self._keys_at = parse_keys(answer.content), moment

    async def _record(
        self,
        ask: Ask,
        context: Any,
        outcome: access_service_pb2.RecordAccessRequest.Outcome.ValueType,
    ) -> None:
        text = _user_context(context)
        request = access_service_pb2.RecordAccessRequest(
            user_context=text if len(text) <= TEXT_CHARACTERS_MAX else "",
            caller=current_caller().name,
            action=ask.action,
            object_id=ask.object_id,
            workspace_id=ask.workspace_id,
            outcome=outcome,
        )
        await _called(self._audit.RecordAccess, request)


async def _called(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        found: DomainError = domain_error_of(error)
        raise found from None


def _user_context(context: Any) -> str:
    """Return the user context that a call came with; empty where there is none, or more than one.

    Which of two would count is not for us to guess.
    """
    pairs = context.invocation_metadata() or ()
    found = [value for name, value in pairs if name == METADATA_KEY]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""

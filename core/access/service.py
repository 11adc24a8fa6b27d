"""Use cases of access: issue a user context to whoever has a key, record what it was used for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from core.accounts.model import WorkspaceState
from core.accounts.store import get_workspace
from core.audit import Act, append
from core.db.database import Transaction
from core.keys import store
from core.keys.model import KeyState
from core.platform_key import PlatformKey
from kit.clock import to_micros
from kit.ids import format_id, parse_id
from kit.reasons import InvalidState, WorkspaceNotActive
from kit.user_context import LABEL, InvalidUserContext, UserContext, read_signed, to_text

DENIED: Final = "Denied"
OBJECT_CHARACTERS_MAX: Final = 96
"""Of an object in the audit log."""


async def issue(
    tx: Transaction,
    act: Act,
    signer: PlatformKey,
    *,
    secret_hashes: Collection[bytes],
    audience: str,
) -> tuple[str, UserContext]:
    """Return a signed user context of the key that has the secret, and what it says.

    A key without permissions gets one that grants nothing: whoever is asked then denies, and says
    so in the audit log.

    Raises:
        NotFound: no key has this secret.
        InvalidState: the key does not work now.
        WorkspaceNotActive: nor does any of its workspace.
    """
    key = await store.find_key(tx, secret_hashes, act.now)
    state = key.state(act.now)
    if state is not KeyState.ACTIVE:
        raise InvalidState(state=state.name)
    workspace = await get_workspace(tx, key.workspace_id)
    if workspace.state is not WorkspaceState.ACTIVE:
        raise WorkspaceNotActive
    context = UserContext(
        subject=format_id("key", key.key_id),
        workspace_id=format_id("ws", key.workspace_id),
        permissions=frozenset(each.word for each in key.settings.permissions),
        audience=audience,
        issued_at_micros=to_micros(act.now),
    )
    content = context.content(signer.key_id)
    return to_text(content, signer.sign(LABEL, content).value), context


async def record(
    tx: Transaction,
    act: Act,
    signer: PlatformKey,
    *,
    user_context: str,
    action: str,
    object_id: str,
    workspace_id: bytes,
    denied: bool,
) -> None:
    """Write to the audit log what was handed out or denied, and to whom.

    Who asked is the subject of the user context if core signed it, however long ago; else the
    service that called. A denial is of who asked, whatever they named: it is filed under their
    workspace, or under none, never under another one.
    """
    asker = _asker(user_context, signer)
    home: bytes | None = workspace_id
    if denied:
        home = None if asker is None else parse_id("ws", asker.workspace_id)
    if home != workspace_id:
        object_id = f"{format_id('ws', workspace_id)}/{object_id}"[:OBJECT_CHARACTERS_MAX]
    await append(
        tx,
        actor=act.actor if asker is None else asker.subject,
        action=f"{action}{DENIED}" if denied else action,
        object_id=object_id,
        workspace_id=home,
        now=act.now,
        ids=act.ids,
    )


def _asker(user_context: str, signer: PlatformKey) -> UserContext | None:
    try:
        return read_signed(user_context, signer.public_keys)
    except InvalidUserContext:
        return None

"""Use cases of billing accounts. The provider is called outside of transactions, never inside.

Whoever locks several rows takes the account first, then the payment, then the wallet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.audit import Act
from core.billing.accounts import store
from core.billing.accounts.model import (
    AutoState,
    AutoStop,
    AutoTopUp,
    BillingAccount,
    Profile,
    stopped,
)
from core.db.database import Transaction
from core.ledger.store import read_wallet
from kit.ids import format_id
from kit.reasons import InvalidArgument, InvalidState, NotFound

THRESHOLD_NANOS_MAX: Final = 10**15
"""A million dollars."""


async def update_profile(
    tx: Transaction, act: Act, workspace_id: bytes, profile: Profile
) -> BillingAccount:
    """Replace whom receipts name; empty fields erase.

    Raises:
        NotFound: no such workspace.
    """
    account = await _locked(tx, act, workspace_id)
    await store.set_profile(tx, workspace_id, profile, act.now)
    await _audit(tx, act, "UpdateBillingAccount", workspace_id)
    return replace(account, profile=profile)


async def set_auto(
    tx: Transaction, act: Act, workspace_id: bytes, wanted: AutoTopUp
) -> BillingAccount:
    """Switch automatic top-up on, with a clean sheet, or off.

    Raises:
        NotFound: no such workspace.
        InvalidArgument: it would buy nothing, or more than the cap at once.
        InvalidState: there is no saved card.
    """
    account = await _locked(tx, act, workspace_id)
    if wanted.state is AutoState.ON:
        _check(wanted)
        if not account.method_id:
            raise InvalidState(card="missing")
        auto = wanted
    else:
        auto = replace(account.auto, state=AutoState.OFF, stop_reason=AutoStop.NONE)
    await store.set_auto(tx, workspace_id, auto, act.now)
    await _audit(tx, act, "SetAutoTopUp", workspace_id)
    return replace(account, auto=auto)


async def remove_card(
    tx: Transaction, act: Act, workspace_id: bytes
) -> tuple[BillingAccount, BillingAccount]:
    """Forget the saved card; return the account before and after.

    Raises:
        NotFound: no such workspace.
    """
    before = await _locked(tx, act, workspace_id)
    off = replace(before.auto, state=AutoState.OFF, stop_reason=AutoStop.NONE)
    await store.set_card(tx, workspace_id, method_id="", brand="", last4="", now=act.now)
    await store.set_auto(tx, workspace_id, off, act.now)
    await _audit(tx, act, "RemoveCard", workspace_id)
    return before, replace(before, method_id="", card_brand="", card_last4="", auto=off)


async def card_is_gone(tx: Transaction, act: Act, workspace_id: bytes, method_id: str) -> None:
    """Forget a card that is gone at the provider, and stop what would have used it."""
    account = await store.lock(tx, workspace_id, act.now)
    if account.method_id != method_id:
        return
    await store.set_card(tx, workspace_id, method_id="", brand="", last4="", now=act.now)
    auto = stopped(account.auto, AutoStop.CARD_GONE)
    await store.set_auto(tx, workspace_id, auto, act.now)


async def stop_auto(tx: Transaction, act: Act, workspace_id: bytes, reason: AutoStop) -> None:
    """Stop automatic top-up because money goes back: no card is charged for what we took away.

    Locks the account, so it comes before anything that locks a wallet.
    """
    account = await store.lock(tx, workspace_id, act.now)
    auto = stopped(account.auto, reason)
    if auto is not account.auto:
        await store.set_auto(tx, workspace_id, auto, act.now)


async def customer_is_gone(tx: Transaction, act: Act, workspace_id: bytes, customer: str) -> None:
    """Forget a customer that is gone at the provider, with the card."""
    account = await store.lock(tx, workspace_id, act.now)
    if account.customer_id == customer:
        await card_is_gone(tx, act, workspace_id, account.method_id)
        await store.forget_customer(tx, workspace_id, customer, act.now)


async def _locked(tx: Transaction, act: Act, workspace_id: bytes) -> BillingAccount:
    if await read_wallet(tx, workspace_id) is None:
        raise NotFound(workspace=format_id("ws", workspace_id))
    return await store.lock(tx, workspace_id, act.now)


async def _audit(tx: Transaction, act: Act, action: str, workspace_id: bytes) -> None:
    await act.audit(tx, f"billing.{action}", format_id("ws", workspace_id), workspace_id)


def _check(wanted: AutoTopUp) -> None:
    if not 0 < wanted.threshold_nanos <= THRESHOLD_NANOS_MAX:
        raise InvalidArgument(fields="threshold")
    if wanted.monthly_cap_minor and wanted.monthly_cap_minor < wanted.amount_minor:
        raise InvalidArgument(fields="monthly_cap")

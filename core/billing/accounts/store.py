"""All SQL of billing accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.billing.accounts.model import (
    AutoState,
    AutoStop,
    AutoTopUp,
    BillingAccount,
    Profile,
)
from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid

_COLUMNS: Final = (
    "workspace_id, customer_id, name, email, address, country, tax_id, method_id, card_brand,"
    " card_last4, auto_state, auto_stop_reason, auto_threshold_nanos, auto_amount_minor,"
    " auto_monthly_cap_minor, auto_failures, auto_not_before"
)
_GET: Final = f"SELECT {_COLUMNS} FROM billing_account WHERE workspace_id = :id"  # noqa: S608 - constants
_OPEN: Final = """
INSERT INTO billing_account (workspace_id, updated_at) VALUES (:id, :now)
ON CONFLICT (workspace_id) DO NOTHING
"""
_SET_PROFILE: Final = """
UPDATE billing_account SET name = :name, email = :email, address = :address, country = :country,
       tax_id = :tax_id, updated_at = :now
 WHERE workspace_id = :id
"""
_SET_AUTO: Final = """
UPDATE billing_account SET auto_state = :state, auto_stop_reason = :reason,
       auto_threshold_nanos = :threshold, auto_amount_minor = :amount,
       auto_monthly_cap_minor = :cap, auto_failures = :failures, auto_not_before = :not_before,
       updated_at = :now
 WHERE workspace_id = :id
"""
_SET_CARD: Final = """
UPDATE billing_account SET method_id = nullif(:method, ''), card_brand = :brand,
       card_last4 = :last4, updated_at = :now
 WHERE workspace_id = :id
"""
# Of two who made a customer at the same time, the first one's counts for both.
_NAME_CUSTOMER: Final = """
UPDATE billing_account SET customer_id = :customer, updated_at = :now
 WHERE workspace_id = :id AND customer_id IS NULL
"""
_FORGET_CUSTOMER: Final = """
UPDATE billing_account SET customer_id = NULL, updated_at = :now
 WHERE workspace_id = :id AND customer_id = :customer
"""
_OF_CUSTOMER: Final = "SELECT workspace_id FROM billing_account WHERE customer_id = :customer"
_OF_METHOD: Final = "SELECT workspace_id FROM billing_account WHERE method_id = :method"


async def read(tx: Transaction, workspace_id: bytes) -> BillingAccount:
    """Read a billing account; a workspace that never bought anything has an empty one."""
    row = await tx.one(_GET, id=to_uuid(workspace_id))
    return BillingAccount(workspace_id) if row is None else _account(row)


async def lock(tx: Transaction, workspace_id: bytes, now: datetime) -> BillingAccount:
    """Make the billing account if there is none yet, and keep others from changing it."""
    await tx.run(_OPEN, id=to_uuid(workspace_id), now=now)
    row = await tx.one(f"{_GET} FOR NO KEY UPDATE", id=to_uuid(workspace_id))
    if row is None:
        raise LookupError("billing_account")
    return _account(row)


async def set_profile(
    tx: Transaction, workspace_id: bytes, profile: Profile, now: datetime
) -> None:
    """Replace whom receipts name."""
    await tx.run(
        _SET_PROFILE,
        id=to_uuid(workspace_id),
        name=profile.name,
        email=profile.email,
        address=profile.address,
        country=profile.country,
        tax_id=profile.tax_id,
        now=now,
    )


async def set_auto(tx: Transaction, workspace_id: bytes, auto: AutoTopUp, now: datetime) -> None:
    """Write the settings of automatic top-up."""
    await tx.run(
        _SET_AUTO,
        id=to_uuid(workspace_id),
        state=int(auto.state),
        reason=int(auto.stop_reason),
        threshold=auto.threshold_nanos,
        amount=auto.amount_minor,
        cap=auto.monthly_cap_minor,
        failures=auto.failures,
        not_before=auto.not_before,
        now=now,
    )


async def set_card(
    tx: Transaction, workspace_id: bytes, *, method_id: str, brand: str, last4: str, now: datetime
) -> None:
    """Write what is known of the saved card; an empty method id forgets it."""
    await tx.run(
        _SET_CARD, id=to_uuid(workspace_id), method=method_id, brand=brand, last4=last4, now=now
    )


async def name_customer(
    tx: Transaction, workspace_id: bytes, customer_id: str, now: datetime
) -> None:
    """Write the provider's customer, unless there is one already."""
    await tx.run(_NAME_CUSTOMER, id=to_uuid(workspace_id), customer=customer_id, now=now)


async def forget_customer(
    tx: Transaction, workspace_id: bytes, customer_id: str, now: datetime
) -> None:
    """Forget a customer that is gone at the provider."""
    await tx.run(_FORGET_CUSTOMER, id=to_uuid(workspace_id), customer=customer_id, now=now)


async def workspace_of_customer(tx: Transaction, customer_id: str) -> bytes | None:
    """Find whose a customer is."""
    row = await tx.one(_OF_CUSTOMER, customer=customer_id)
    return None if row is None else from_uuid(row.workspace_id)


async def workspaces_of_method(tx: Transaction, method_id: str) -> list[bytes]:
    """Find whose saved card this is."""
    return [from_uuid(row.workspace_id) for row in await tx.all(_OF_METHOD, method=method_id)]


def _account(row: Row[Any]) -> BillingAccount:
    return BillingAccount(
        workspace_id=from_uuid(row.workspace_id),
        customer_id=row.customer_id or "",
        profile=Profile(row.name, row.email, row.address, row.country, row.tax_id),
        method_id=row.method_id or "",
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        auto=AutoTopUp(
            state=AutoState(row.auto_state),
            stop_reason=AutoStop(row.auto_stop_reason),
            threshold_nanos=row.auto_threshold_nanos,
            amount_minor=row.auto_amount_minor,
            monthly_cap_minor=row.auto_monthly_cap_minor,
            failures=row.auto_failures,
            not_before=row.auto_not_before,
        ),
    )

"""A workspace's billing account, and what becomes of automatic top-up when a charge fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

DECLINE_PAUSE: Final = timedelta(hours=1)
DECLINES_MAX: Final = 3
SUCCESS_PAUSE: Final = timedelta(minutes=1)
"""A threshold far above what is bought at a time charges no card a hundred times at once."""


class AutoState(IntEnum):
    """Whether automatic top-up works; the values are those of the contract."""

    OFF = 1
    ON = 2
    STOPPED = 3


class AutoStop(IntEnum):
    """Why we stopped automatic top-up; the values are those of the contract."""

    NONE = 0
    DECLINED = 1
    AUTHENTICATION = 2
    CARD_GONE = 3
    DISPUTED = 4
    REFUNDED = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """Whom receipts name."""

    name: str = ""
    email: str = ""
    address: str = ""
    country: str = ""
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class AutoTopUp:
    """Buys `amount_minor` of credit whenever less than `threshold_nanos` is left.

    At most `monthly_cap_minor` in a calendar month (UTC); 0 means without a limit.
    """

    state: AutoState = AutoState.OFF
    stop_reason: AutoStop = AutoStop.NONE
    threshold_nanos: int = 0
    amount_minor: int = 0
    monthly_cap_minor: int = 0
    failures: int = 0
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """A workspace at the payment provider. `customer_id` and `method_id` are empty until known."""

    workspace_id: bytes
    customer_id: str = ""
    profile: Profile = Profile()
    method_id: str = ""
    card_brand: str = ""
    card_last4: str = ""
    auto: AutoTopUp = AutoTopUp()


def after_success(auto: AutoTopUp, now: datetime) -> AutoTopUp:
    """Return the settings after an automatic charge went through: the count starts anew."""
    return replace(auto, failures=0, not_before=now + SUCCESS_PAUSE)


def after_decline(auto: AutoTopUp, now: datetime) -> AutoTopUp:
    """Return the settings after a decline: an hour's pause, and stopped after three in a row."""
    declined = replace(auto, failures=auto.failures + 1, not_before=now + DECLINE_PAUSE)
    if declined.failures < DECLINES_MAX:
        return declined
    return stopped(declined, AutoStop.DECLINED)


def stopped(auto: AutoTopUp, reason: AutoStop) -> AutoTopUp:
    """Return the settings stopped by us; what is off stays off."""
    if auto.state is not AutoState.ON:
        return auto
    return replace(auto, state=AutoState.STOPPED, stop_reason=reason)

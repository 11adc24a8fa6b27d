"""The ledger as plain-text accounting for beancount (https://beancount.github.io).

Our credits are positive; there they are negative. Every amount keeps its nine places. Accounts are
opened at the first day of the file, and asserted to hold what the file's movements come to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any, Final

HOUSE: Final = {
    "psp.stripe_clearing": "Assets:Stripe:Clearing",
    "psp.stripe_disputed": "Assets:Stripe:Disputed",
    "psp.bank": "Assets:Bank",
    "psp.surplus": "Liabilities:Surplus",
    "tax_payable": "Liabilities:Tax",
    "rev.usage": "Income:Usage",
    "rev.waived": "Income:Waived",
    "rev.breakage": "Income:Breakage",
    "rev.corrections": "Income:Corrections",
    "exp.promo": "Expenses:Promotion",
    "exp.unbillable": "Expenses:Unbillable",
    "exp.bad_debt": "Expenses:BadDebt",
    "exp.psp_fees": "Expenses:PaymentFees",
}
WORKSPACE: Final = {
    "promo": "Liabilities:Credit:Promo",
    "paid": "Liabilities:Credit:Paid",
    "held": "Liabilities:Credit:Held",
    "frozen": "Liabilities:Credit:Frozen",
    "refund_pending": "Liabilities:Credit:RefundPending",
    "receivable": "Assets:Receivable",
}
CURRENCY: Final = "USD"


class AccountUnknown(ValueError):
    """The ledger has an account that this export does not know."""


def beancount_lines(transactions: Iterable[Any]) -> Iterator[str]:
    """Yield the file line by line; `transactions` are messages, oldest first.

    Raises:
        AccountUnknown: the export is older than the ledger.
    """
    yield 'option "title" "1API Club"'
    yield f'option "operating_currency" "{CURRENCY}"'
    yield f'option "inferred_tolerance_default" "{CURRENCY}:0"'
    opened: set[str] = set()
    sums: dict[str, int] = defaultdict(int)
    last = date.min
    first: date | None = None
    for transaction in transactions:
        day = transaction.created_at.ToDatetime().date()
        first, last = first or day, max(last, day)
        # Clocks of two cores may differ by a little over midnight: an account opens before all.
        opening = first - timedelta(days=1)
        for entry in transaction.entries:
            account = account_of(entry.account)
            sums[account] -= entry.amount.amount_nanos
            if account not in opened:
                opened.add(account)
                yield f"{opening} open {account} {CURRENCY}"
        yield from _transaction(day, transaction)
    for account in sorted(sums):
        yield f"{last + timedelta(days=1)} balance {account} {_amount(sums[account])}"


def account_of(account: str) -> str:
    """Return the account's name there: `ws_….paid` is one of a workspace.

    Raises:
        AccountUnknown: there is none.
    """
    owner, _, own = account.partition(".")
    if owner.startswith("ws_") and own in WORKSPACE:
        return f"{WORKSPACE[own]}:Ws-{owner.removeprefix('ws_')}"
    if account not in HOUSE:
        raise AccountUnknown
    return HOUSE[account]


def _transaction(day: date, transaction: Any) -> Iterator[str]:
    yield ""
    yield f'{day} * "{transaction.kind}" "{transaction.business_key}"'
    yield f'  txn: "{transaction.transaction_id}"'
    yield f'  actor: "{transaction.actor}"'
    for entry in transaction.entries:
        yield f"  {account_of(entry.account)}  {_amount(-entry.amount.amount_nanos)}"
        if entry.grant_id:
            yield f'    grant: "{entry.grant_id}"'


def _amount(nanos: int) -> str:
    sign = "-" if nanos < 0 else ""
    whole, part = divmod(abs(nanos), 1_000_000_000)
    return f"{sign}{whole}.{part:09d} {CURRENCY}"

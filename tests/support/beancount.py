"""Reads what we write for beancount, as strictly as beancount does; it is not a dependency (GPL).

The grammar is the part of beancount's that we use: options, open, transactions with metadata and
postings, balance.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final

_ACCOUNT: Final = r"(?:Assets|Liabilities|Equity|Income|Expenses)(?::[A-Z0-9][A-Za-z0-9-]*)+"
_AMOUNT: Final = r"(-?\d+\.\d{9}) USD"
_OPTION: Final = re.compile(r'option "[a-z_]+" "[^"\\]*"')
_OPEN: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d) open ({_ACCOUNT}) USD")
_HEAD: Final = re.compile(r'(\d{4}-\d\d-\d\d) \* "[^"\\\n]*" "[^"\\\n]*"')
_META: Final = re.compile(r'  (?:  )?[a-z][a-zA-Z0-9_-]*: "[^"\\\n]*"')
_POSTING: Final = re.compile(rf"  ({_ACCOUNT})  {_AMOUNT}")
_BALANCE: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d) balance ({_ACCOUNT}) {_AMOUNT}")


def checked(lines: Iterable[str]) -> dict[str, Decimal]:
    """Return what each account holds; fail on anything that beancount would refuse."""
    opened: dict[str, date] = {}
    held: dict[str, Decimal] = defaultdict(Decimal)
    last: date | None = None
    moved = Decimal(0)
    for line in lines:
        if (posting := _POSTING.fullmatch(line)) is not None:
            account, amount = posting.group(1), Decimal(posting.group(2))
            assert last is not None
            assert opened[account] <= last
            held[account] += amount
            moved += amount
        elif (head := _HEAD.fullmatch(line)) is not None:
            assert moved == 0, "a transaction does not sum to zero"
            last = date.fromisoformat(head.group(1))
        elif (opening := _OPEN.fullmatch(line)) is not None:
            assert opening.group(2) not in opened, "opened twice"
            opened[opening.group(2)] = date.fromisoformat(opening.group(1))
        elif (balance := _BALANCE.fullmatch(line)) is not None:
            assert last is None or date.fromisoformat(balance.group(1)) > last
            assert held[balance.group(2)] == Decimal(balance.group(3))
        else:
            assert not line or _OPTION.fullmatch(line) or _META.fullmatch(line), line
    assert moved == 0
    return dict(held)

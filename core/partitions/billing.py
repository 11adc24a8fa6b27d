"""What workspaces bought, were given, got back and were taxed, by posting date: the SQL of it.

Amounts are in the workspace's favour. What was paid back is told without its tax, and the tax
beside it, so that both together are the money. Leases, freezes and repayments of debts move credit
within a workspace and are no rows; usage and its waivers are in the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from core.billing.documents.model import NUMBER_DIGITS, DocumentKind
from core.db.values import to_uuid
from core.ledger import corrections, debt, disputes, expiry, refunds
from core.ledger.credits import KINDS
from core.ledger.model import (
    EXP_BAD_DEBT,
    PAID,
    PROMO,
    RECEIVABLE,
    REV_CORRECTIONS,
    STRIPE_CLEARING,
    STRIPE_DISPUTED,
    TAX_PAYABLE,
    GrantKind,
)
from core.metering.model import add_months
from kit.clock import to_micros
from kit.ids import uuid7_floor

_MARGIN: Final = timedelta(days=1)
"""Transactions are found by their ids, which are minted when they are posted, and then by that."""


class Rule(NamedTuple):
    """What a kind of transaction is to the workspace, and which of its entries say how much."""

    kind: str
    category: str
    accounts: tuple[str, ...]
    sign: int = 1


_TAKEN_BACK: Final = (
    refunds.SENT,
    refunds.RETURNED,
    refunds.CLAWBACK,
    refunds.CLAWBACK_RETURNED,
    disputes.LOST,
)
"""Kinds that undo a purchase, whole or in part, and those that undo that again."""
# Credit that pays an old debt at once is bought or given all the same.
RULES: Final = (
    Rule(KINDS[GrantKind.PAID], "purchase", (PAID, RECEIVABLE)),
    Rule(KINDS[GrantKind.PAID], "tax", (TAX_PAYABLE,)),
    Rule(KINDS[GrantKind.PROMOTIONAL], "credit", (PROMO, RECEIVABLE)),
    Rule(KINDS[GrantKind.GOODWILL], "credit", (PROMO, RECEIVABLE)),
    Rule(expiry.KIND, "adjustment", (PROMO, PAID)),
    # A charge that is given back after its debt was written off gives that part to nobody.
    Rule(corrections.KIND, "adjustment", (REV_CORRECTIONS, EXP_BAD_DEBT), -1),
    Rule(debt.WRITE_OFF, "adjustment", (EXP_BAD_DEBT,), -1),
    Rule(refunds.CLAWBACK_RETURNED, "adjustment", (EXP_BAD_DEBT,), -1),
    *(
        Rule(kind, "refund", (STRIPE_CLEARING, STRIPE_DISPUTED, TAX_PAYABLE), -1)
        for kind in _TAKEN_BACK
    ),
    *(Rule(kind, "tax", (TAX_PAYABLE,)) for kind in _TAKEN_BACK),
)


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


_RULES: Final = ", ".join(
    f"('{rule.kind}', '{rule.category}', ARRAY[{_words(rule.accounts)}], {rule.sign})"
    for rule in RULES
)
_GRANTS: Final = _words(KINDS.values())
_NOTES: Final = _words((refunds.SENT, refunds.CLAWBACK, disputes.LOST))
# `about`: the payment that a transaction gave credit for or takes back, and by what. `entry`: its
# entries; the tax of a refund that was sent left the workspace's side when it was reserved.
_BILLING: Final = f"""
WITH rule (kind, category, accounts, sign) AS (VALUES {_RULES}),
moved AS (
    SELECT id, workspace_id, created_at, kind, split_part(business_key, ':', 2) AS object
      FROM ledger_txn
     WHERE id >= '{{first}}' AND id < '{{end}}'
       AND created_at >= '{{start}}' AND created_at < '{{stop}}'
       AND workspace_id IS NOT NULL AND kind IN (SELECT kind FROM rule)
),
about AS (
    SELECT m.id, y.id AS payment_id, y.grant_id, CAST(NULL AS uuid) AS refund_id,
           CAST(NULL AS uuid) AS dispute_id
      FROM moved AS m JOIN payment AS y ON y.grant_id = m.id
    UNION ALL
    SELECT m.id, y.id, y.grant_id, r.id, NULL
      FROM moved AS m JOIN refund AS r ON r.stripe_id = m.object
      JOIN payment AS y ON y.id = r.payment_id
     WHERE m.kind IN ({_words(_TAKEN_BACK)})
    UNION ALL
    SELECT m.id, y.id, y.grant_id, NULL, x.id
      FROM moved AS m JOIN dispute AS x ON x.stripe_id = m.object
      JOIN payment AS y ON y.id = x.payment_id
     WHERE m.kind = '{disputes.LOST}'
),
entry AS (
    SELECT m.id, e.account, e.amount, e.grant_id
      FROM moved AS m JOIN ledger_entry AS e ON e.txn_id = m.id
    UNION ALL
    SELECT m.id, e.account, e.amount, NULL
      FROM moved AS m JOIN refund AS r ON r.stripe_id = m.object
      JOIN ledger_txn AS v
        ON v.business_key = 'refund:' || replace(CAST(r.id AS text), '-', '')
      JOIN ledger_entry AS e ON e.txn_id = v.id AND e.account = '{TAX_PAYABLE}'
     WHERE m.kind = '{refunds.SENT}'
)
SELECT m.workspace_id, m.id AS transaction_id, m.created_at AS posted_at, m.kind, p.category,
       CASE WHEN m.kind IN ({_GRANTS}) THEN m.id ELSE coalesce(a.grant_id, (
            SELECT CASE WHEN count(DISTINCT o.grant_id) = 1
                        THEN CAST(min(CAST(o.grant_id AS text)) AS uuid) END
              FROM ledger_entry AS o WHERE o.txn_id = m.id)) END AS grant_id,
       CAST(sum(e.amount) * p.sign AS bigint) AS amount_nanos,
       CASE WHEN p.category <> 'adjustment' THEN (
            SELECT d.series || '-' || lpad(CAST(d.number AS text),
                   greatest({NUMBER_DIGITS}, length(CAST(d.number AS text))), '0')
              FROM billing_document AS d
             WHERE d.payment_id = a.payment_id AND d.kind = CASE
                   WHEN m.kind IN ({_GRANTS}) THEN {DocumentKind.RECEIPT:d}
                   WHEN m.kind IN ({_NOTES}) THEN {DocumentKind.CREDIT_NOTE:d}
                   ELSE {DocumentKind.REVERSAL:d} END
               AND d.refund_id IS NOT DISTINCT FROM a.refund_id
               AND d.dispute_id IS NOT DISTINCT FROM a.dispute_id) END AS document
  FROM moved AS m
  JOIN rule AS p ON p.kind = m.kind
  JOIN entry AS e ON e.id = m.id AND e.account = ANY(p.accounts)
  LEFT JOIN about AS a ON a.id = m.id
 GROUP BY m.workspace_id, m.id, m.created_at, m.kind, p.category, p.sign, a.payment_id, a.grant_id,
       a.refund_id, a.dispute_id
HAVING sum(e.amount) <> 0
 ORDER BY m.workspace_id, m.created_at, m.id, p.category
"""  # noqa: S608 - constants


def billing_sql(month: date) -> str:
    """Return the statement that reads a month; its columns are those of `BILLING_SCHEMA`."""
    start, stop = _start(month), _start(add_months(month, 1))
    return _BILLING.format(
        start=f"{start:%Y-%m-%d %H:%M}Z",
        stop=f"{stop:%Y-%m-%d %H:%M}Z",
        first=_first_id(start - _MARGIN),
        end=_first_id(stop + _MARGIN),
    )


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def _first_id(moment: datetime) -> object:
    return to_uuid(uuid7_floor(to_micros(moment) // 1_000))

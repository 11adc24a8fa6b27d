"""Between ledger values and messages, nothing else."""

from __future__ import annotations

from core.ledger.listing import StoredTransaction, WalletStep
from core.ledger.model import Balance, CreditGrant, Entry, balance_of
from core.ledger.proofs.finding import Finding, Tally
from core.timestamps import to_timestamp
from kit.ids import format_id
from oneapi.billing.v1 import ledger_pb2
from oneapi.billing.v1 import ledger_service_pb2 as service_pb
from oneapi.common.v1.money_pb2 import Money

CURRENCY = "USD"


def money_message(amount_nanos: int) -> Money:
    """Render an amount."""
    return Money(amount_nanos=amount_nanos, currency_code=CURRENCY)


def balance_message(workspace_id: bytes, balance: Balance) -> ledger_pb2.Balance:
    """Render a balance."""
    return ledger_pb2.Balance(
        workspace_id=format_id("ws", workspace_id),
        total=money_message(balance.total),
        held=money_message(balance.held),
        available=money_message(balance.available),
        frozen=money_message(balance.frozen),
        debt=money_message(balance.debt),
    )


def grant_message(grant: CreditGrant) -> ledger_pb2.CreditGrant:
    """Render a credit grant."""
    return ledger_pb2.CreditGrant(
        grant_id=format_id("grant", grant.grant_id),
        workspace_id=format_id("ws", grant.workspace_id),
        kind=ledger_pb2.CreditGrant.Kind.ValueType(grant.kind),
        amount=money_message(grant.amount),
        remaining=money_message(grant.remaining),
        created_at=to_timestamp(grant.created_at),
        expires_at=to_timestamp(grant.expires_at),
    )


def transaction_message(stored: StoredTransaction) -> ledger_pb2.LedgerTransaction:
    """Render a transaction with its entries."""
    return ledger_pb2.LedgerTransaction(
        transaction_id=format_id("txn", stored.txn_id),
        kind=stored.kind,
        business_key=stored.business_key,
        effective_at=to_timestamp(stored.effective_at),
        created_at=to_timestamp(stored.created_at),
        actor=stored.actor,
        entries=[_entry_message(place, entry) for place, entry in enumerate(stored.entries)],
        records_root=stored.records_root,
        record_count=stored.record_count,
    )


def step_message(step: WalletStep) -> ledger_pb2.WalletStep:
    """Render a link of a wallet's chain."""
    owner = step.after.workspace_id
    return ledger_pb2.WalletStep(
        sequence=step.after.sequence,
        before=balance_message(owner, balance_of(step.before)),
        after=balance_message(owner, balance_of(step.after)),
        previous_hash=step.previous_hash,
        hash=step.after.head_hash,
    )


def finding_message(finding: Finding) -> service_pb.VerifyFinding:
    """Render a finding."""
    return service_pb.VerifyFinding(
        check=finding.check,
        object_id=finding.object_id,
        expected=finding.expected,
        found=finding.found,
    )


def summary_message(tally: Tally) -> service_pb.VerifySummary:
    """Render what was looked at."""
    return service_pb.VerifySummary(
        wallets=tally.wallets,
        transactions=tally.transactions,
        entries=tally.entries,
        records=tally.records,
        findings=tally.findings,
        charges=money_message(tally.charges),
        archived_settlements=tally.archived_settlements,
        archived_records=tally.archived_records,
    )


def _entry_message(place: int, entry: Entry) -> ledger_pb2.LedgerEntry:
    owner = "" if entry.workspace_id is None else format_id("ws", entry.workspace_id) + "."
    return ledger_pb2.LedgerEntry(
        position=place,
        account=owner + entry.account,
        grant_id="" if entry.grant_id is None else format_id("grant", entry.grant_id),
        amount=money_message(entry.amount),
    )

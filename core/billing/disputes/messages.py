"""Between disputes, warnings and messages, nothing else."""

from __future__ import annotations

from core.billing.disputes.evidence import Evidence
from core.billing.disputes.model import PREFIX, Dispute, FraudWarning
from core.billing.payments.model import PREFIX as PAYMENT_PREFIX
from core.billing.shares import MINOR_NANOS
from core.ledger.messages import money_message
from core.timestamps import to_timestamp
from kit.ids import format_id
from oneapi.billing.v1 import dispute_pb2


def dispute_message(dispute: Dispute) -> dispute_pb2.Dispute:
    """Render a dispute."""
    return dispute_pb2.Dispute(
        dispute_id=format_id(PREFIX, dispute.dispute_id),
        workspace_id=format_id("ws", dispute.workspace_id),
        payment_id=format_id(PAYMENT_PREFIX, dispute.payment_id),
        stripe_id=dispute.stripe_id,
        state=dispute_pb2.Dispute.State.ValueType(dispute.state),
        reason=dispute.reason,
        amount=money_message(dispute.amount * MINOR_NANOS),
        withdrawn=money_message(dispute.withdrawn * MINOR_NANOS),
        reinstated=money_message(dispute.reinstated * MINOR_NANOS),
        frozen=money_message(dispute.frozen_nanos),
        owed=money_message(dispute.owed_nanos),
        evidence_due_at=to_timestamp(dispute.evidence_due_at),
        evidence_sent_at=to_timestamp(dispute.evidence_sent_at),
        created_at=to_timestamp(dispute.created_at),
        updated_at=to_timestamp(dispute.updated_at),
        closed_at=to_timestamp(dispute.closed_at),
    )


def evidence_message(evidence: Evidence) -> dispute_pb2.DisputeEvidence:
    """Render what speaks for us."""
    return dispute_pb2.DisputeEvidence(
        dispute_id=format_id(PREFIX, evidence.dispute_id),
        paid_at=to_timestamp(evidence.paid_at),
        bought=money_message(evidence.bought),
        used=money_message(evidence.used),
        documents=evidence.documents,
        first_used_at=to_timestamp(evidence.first_used_at),
        last_used_at=to_timestamp(evidence.last_used_at),
        requests=evidence.uses.requests,
        charges=money_message(evidence.uses.charges),
        uses=[
            dispute_pb2.EvidenceUse(
                day=use.when,
                key_id=format_id("key", use.key_id),
                model=use.model,
                requests=use.requests,
                charges=money_message(use.charges),
            )
            for use in evidence.uses.shown
        ],
        omitted_uses=evidence.uses.omitted,
    )


def warning_message(warning: FraudWarning) -> dispute_pb2.FraudWarning:
    """Render a fraud warning."""
    return dispute_pb2.FraudWarning(
        stripe_id=warning.stripe_id,
        workspace_id=format_id("ws", warning.workspace_id),
        payment_id=format_id(PAYMENT_PREFIX, warning.payment_id),
        kind=warning.kind,
        actionable=warning.actionable,
        created_at=to_timestamp(warning.created_at),
    )

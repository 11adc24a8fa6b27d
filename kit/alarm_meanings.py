"""What each kind of alarm means, and what to do: one line each, for commands and pages."""

from __future__ import annotations

from typing import Final

MEANINGS: Final = {
    "record_conflict": (
        "A record came a second time with other content; the first one counts.",
        "Compare it with the frame in the edge's quarantine; a repeated id is a fault of the edge.",
    ),
    "record_invalid": (
        "Core refused a record that breaks the rules: nothing was charged.",
        "Read the frame in the edge's quarantine; charge or forgive by hand.",
    ),
    "record_in_the_future": (
        "A record's id says a time more than five minutes ahead: nothing was charged.",
        "Set the edge's clock; the frame is in its quarantine.",
    ),
    "record_late": (
        "A record came after its month was archived: kept, and never charged.",
        "Find out why the spool came so late; the figure is in what was waived.",
    ),
    "charge_mismatch": (
        "The edge computed another charge than core; core's counts.",
        "Compare the versions of edge and core, and the price version of the record.",
    ),
    "spool_gap": (
        "Frames of a spool never came: from the expected number to below the found one.",
        "Look for a damaged disk; the provider's own list says what those requests were.",
    ),
    "missing_frames": (
        "A spool's last frames never came, though its edge had written them.",
        "Look for a damaged disk; the provider's own list says what those requests were.",
    ),
    "spool_replayed": (
        "A spool ended elsewhere than what core had taken of it: an old copy was put back.",
        "Find out who restored the edge's disk; nothing of it was charged a second time.",
    ),
    "payment_quarantined": (
        "Money came that is not what was asked for: another amount, currency or mode. No credit.",
        "It is refunded by itself; look at the provider's page of it for how it came.",
    ),
    "payment_paid_twice": (
        "A payment that had given its credit was paid once more.",
        "The second one is refunded by itself; find out how it came.",
    ),
    "payment_not_returned": (
        "The provider refused to refund money that gave no credit, or the refund did not arrive.",
        "Look the payment up at the provider: it may be disputed; give it back by hand.",
    ),
    "billing_fault": (
        "A payment, refund, dispute or event failed three times by a fault of ours.",
        "Search the log for the object; it is tried again and again, and hinders no other.",
    ),
    "stripe_event_unmatched": (
        "The provider told of an object that we do not know, or refuses to show: given up.",
        "Look the object up at the provider; `Reconcile` lists the money that nothing explains.",
    ),
    "proof_failed": (
        "The proof of all books found so many things that do not add up.",
        "Read its report with `1api audit reports`; `1api audit verify` names each.",
    ),
    "stripe_clearing_mismatch": (
        "The provider's balance is not what the clearing account says, twice in a row.",
        "Run `1api credit reconcile`: it lists the movements that no posting explains.",
    ),
    "archive_mismatch": (
        "Files of an archived month did not add up to what core and the ledger count: not signed.",
        "Run `1api archive run` again; if it stays so, compare the month with `1api audit verify`.",
    ),
    "epoch_unknown": (
        "A spool came from an edge process that core does not know; its usage counts all the same.",
        "Find out which edge points at this core, and whether the database was restored.",
    ),
    "refund_mismatch": (
        "The provider refunded what does not fit its payment: another currency, or too much.",
        "Look at the refund there; nothing was taken from the workspace.",
    ),
    "dispute_opened": (
        "A cardholder's bank disputes a payment; its unused credit is frozen.",
        "Read `1api dispute evidence`, and submit it before it is due.",
    ),
    "dispute_lost": (
        "A dispute was lost: expected is the credit that it took, found what is owed of it.",
        "Collect the debt or give it up; a workspace in debt gets no credit to spend.",
    ),
    "dispute_mismatch": (
        "A dispute is in another currency than its payment.",
        "Look at it at the provider; nothing was frozen.",
    ),
    "dispute_unknown_status": (
        "The provider's word for where a dispute stands is not known: it counts as open.",
        "Look at it at the provider; its credit stays frozen until a known word comes.",
    ),
    "dispute_changed_after_close": (
        "The provider moved money of a dispute that was settled already.",
        "Look at it there and decide who gets it; the books have the money.",
    ),
    "fraud_warning": (
        "A card network warns that a payment may be fraud; a refund of what is left is proposed.",
        "Approve the refund to prevent a dispute, or reject it.",
    ),
}
_UNKNOWN: Final = ("An alarm that this version does not know.", "Update the command line.")


def meaning_of(kind: str) -> str:
    """Return what a kind of alarm means."""
    return MEANINGS.get(kind, _UNKNOWN)[0]


def remedy_of(kind: str) -> str:
    """Return what to do about a kind of alarm."""
    return MEANINGS.get(kind, _UNKNOWN)[1]

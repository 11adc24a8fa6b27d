"""A running request's place in the spool."""

from __future__ import annotations

from dataclasses import dataclass

from edge.metering.records import Checkpoint, Intent
from edge.metering.segment import Segment
from kit.charge import MAX_QUANTITY, Price, charge_nanos, quantities


@dataclass(slots=True, eq=False)
class Ticket:
    """What `begin` hands out and `finish` takes back."""

    intent: Intent
    price: Price | None
    segment: Segment
    checkpoint: Checkpoint | None = None
    next_checkpoint: float = float("-inf")
    finished: bool = False

    def __post_init__(self) -> None:
        """Pin the segment that holds the intent."""
        self.segment.open_intents += 1

    def leave_segment(self, sequence: int) -> None:
        """Let the segment go once the frame that replaces the intent there is durable."""
        self.segment.open_intents -= 1
        self.segment.released_through = max(self.segment.released_through, sequence)

    def enter_segment(self, segment: Segment, sequence: int) -> None:
        """Move to the segment that holds the intent's copy, written under the sequence."""
        self.leave_segment(sequence)
        self.segment = segment
        segment.open_intents += 1

    def noted(self, output_tokens: int, delivered_events: int) -> Checkpoint:
        """Keep and return what was delivered so far, and what that alone would cost."""
        tokens, charge = provable(output_tokens, self.price, self.intent.hold_nanos)
        self.checkpoint = Checkpoint(self.intent.request_id, tokens, delivered_events, charge)
        return self.checkpoint


def provable(output_tokens: int, price: Price | None, hold_nanos: int) -> tuple[int, int]:
    """Return the output tokens a crash may charge for and their charge, never above the hold."""
    tokens = min(max(output_tokens, 0), MAX_QUANTITY)
    if price is None:
        return tokens, 0
    charge = charge_nanos(quantities(output=tokens), price)
    if charge > hold_nanos:
        tokens = tokens * hold_nanos // charge
        charge = charge_nanos(quantities(output=tokens), price)
    return tokens, charge

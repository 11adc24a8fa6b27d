"""What the payment provider sends passes the edge in one place, far from requests (P2)."""

from __future__ import annotations

from tests.architecture.rules.tree import sources

ALLOWED = "edge/webhooks/stripe.py"


def importers(word: str) -> set[str]:
    """Return the edge's modules that name a module of messages."""
    return {path for path, text in sources(".py", folders=("edge",)) if word in text}


def test_one_module_of_the_edge_can_hold_a_raw_event() -> None:
    """No module that sees a request knows the message that has room for one."""
    assert importers("payment_service_pb2") == {ALLOWED}

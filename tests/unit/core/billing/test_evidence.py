"""The words of evidence: metadata, bounded, and nothing that was not counted."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from core.billing.disputes.evidence import Evidence, texts
from core.billing.disputes.evidence_store import Use, Uses

PAID = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = bytes.fromhex("0199000000007000800000000000000a")


def _evidence(count: int, omitted: int = 0, *, model: str = "demo/model") -> Evidence:
    use = Use(date(2026, 11, 21), KEY, model, 3, 1_500_000_000)
    return Evidence(
        dispute_id=KEY,
        paid_at=PAID,
        bought=25_000_000_000,
        used=4_500_000_000,
        documents=("R-2026-000001",),
        first_used_at=PAID if count else None,
        last_used_at=PAID if count else None,
        uses=Uses((use,) * count, omitted, 3 * count, 1_500_000_000 * count),
    )


def test_evidence_says_what_was_bought_and_used() -> None:
    """One line for each day, key and model."""
    words = texts(_evidence(1), "pay_1")
    assert words["service_date"] == "2026-11-20"
    assert words["access_activity_log"] == (
        "2026-11-21 key_01990000 demo/model requests 3 USD 1.50"
    )
    summary = words["uncategorized_text"]
    assert "25.00 USD were bought at 2026-11-20 12:00:00 UTC (payment pay_1)" in summary
    assert "4.50 USD of them are used" in summary
    assert "3 authenticated API requests charged 1.50 USD, from 2026-11-20" in summary
    assert "R-2026-000001" in summary


def test_evidence_without_use_claims_none() -> None:
    """No span of time, no lines."""
    words = texts(_evidence(0), "pay_1")
    assert "access_activity_log" not in words
    assert "0 authenticated API requests charged 0.00 USD." in words["uncategorized_text"]


@given(st.integers(0, 1_000), st.integers(0, 10**6), st.integers(1, 200))
def test_evidence_stays_within_what_the_provider_takes(
    count: int, omitted: int, characters: int
) -> None:
    """A text of 20,000 characters at most; every use is shown or said to be left out."""
    found = _evidence(count, omitted, model="m" * characters)
    text = texts(found, "pay_1").get("access_activity_log", "")
    assert len(text) < 20_000
    lines = text.splitlines()
    shown = [line for line in lines if line.startswith("2026")]
    left_out = count + omitted - len(shown)
    assert lines[len(shown) :] == [f"and {left_out} lines more"] * (left_out > 0)
